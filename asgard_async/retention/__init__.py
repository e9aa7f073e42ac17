"""Retention: deletion of expired jobs, their files, environments and caches."""
