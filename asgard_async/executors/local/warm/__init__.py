"""Warm starts: one fork server for each environment in use, with its imports done.

This is the service's side; supervisor/shim/fork_server.py is the fork server itself.
"""
