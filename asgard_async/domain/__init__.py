"""The domain model: job records, states, transitions and errors.

This package imports only the standard library.
"""
