"""Records of jobs, their states, transitions and errors. Standard library alone."""
