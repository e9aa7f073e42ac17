"""Foundations that every package may use: tasks, files, locks, redaction, logging, health."""
