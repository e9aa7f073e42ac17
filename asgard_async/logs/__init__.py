"""How a job's output is kept and read."""
