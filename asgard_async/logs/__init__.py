"""Reading and following the logs of jobs."""
