"""Resource limits of jobs, enforced by control groups where possible, otherwise by rlimits.

The mechanisms are selected once, when the service starts. shim/limits.py applies them to a job.
"""
