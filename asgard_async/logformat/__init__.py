"""The format of a job's log on disk.

Standard library alone: the shim writes it, the service reads it."""
