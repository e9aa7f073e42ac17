"""What a job is and what can be done with it."""
