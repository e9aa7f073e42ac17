"""Whole backups of a data directory: databases, tokens, archives, logs and models."""
