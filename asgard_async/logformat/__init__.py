"""The format of a job's log on disk, written by the shim and read by the service.

Standard library alone: the shim runs in interpreters of jobs.
"""
