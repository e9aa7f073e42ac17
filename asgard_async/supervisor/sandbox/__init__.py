"""Isolation of jobs, builds and MLflow from the service and from each other.

The level is selected once, when the service starts. shim/sandbox.py applies it to a process.
"""
