"""Warm starts: one fork server for each environment in use, with its imports done.

The service's side; what a fork server itself does is in shim/forking.py.
"""
