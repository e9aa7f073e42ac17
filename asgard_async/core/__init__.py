"""What every package may use: tasks, files, locks, redaction, logging."""
