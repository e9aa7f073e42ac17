"""Warm starts: a fork server with preloaded modules for each environment in use.

This is the service's side. The fork server itself is supervisor/shim/fork_server.py.
"""
