"""Submission of a job: its program and requirements are checked, then it is committed."""
