"""Records of jobs, their states, transitions and errors. Imports only the standard library."""
