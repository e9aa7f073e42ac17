"""Asgard: a training server for one machine."""

__version__ = "0.1.0"
