"""Accepting a job: check its program and requirements, then commit it."""
