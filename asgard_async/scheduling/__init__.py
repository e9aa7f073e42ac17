"""Scheduling: the order in which queued jobs start, and the number of concurrent jobs."""
