"""Notebooks: a program that runs one in its own kernel, and how the executor starts it."""
