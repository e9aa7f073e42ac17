"""Environments of jobs: the base one, cached ones, and how a new one is built."""
