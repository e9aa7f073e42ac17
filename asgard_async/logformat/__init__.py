"""The format of a job's log on disk, written by the shim and read by the service.

This package imports only the standard library, because the shim runs in the interpreters of jobs.
"""
