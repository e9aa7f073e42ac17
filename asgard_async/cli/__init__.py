"""The `asgard` command-line interface."""
