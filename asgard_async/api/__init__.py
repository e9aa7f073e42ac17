"""The HTTP API: its routes, their schemas, and their handlers."""
