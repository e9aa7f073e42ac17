"""What is thrown away, and when: jobs, their directories, logs and archives, and environments."""
