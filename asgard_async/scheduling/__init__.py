"""Scheduling: the order in which queued jobs start, and the number that run at once."""
