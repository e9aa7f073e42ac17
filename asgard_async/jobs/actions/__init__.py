"""Actions on an accepted job, one per module."""
