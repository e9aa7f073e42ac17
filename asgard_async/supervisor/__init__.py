"""How a job's process lives: started, watched, stopped, found again."""
