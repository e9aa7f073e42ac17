"""Python environments of jobs: the base environment, cached ones, and building new ones."""
