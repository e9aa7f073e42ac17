"""Python environments of jobs: the base environment, cached environments, and builds."""
