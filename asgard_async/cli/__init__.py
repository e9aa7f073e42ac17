"""The `asgard` command."""
