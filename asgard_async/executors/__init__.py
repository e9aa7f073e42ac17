"""Executors: where attempts of jobs run."""
