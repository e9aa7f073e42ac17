"""Figures, each beside what it is compared to: `python -m benchmarks.NAME` prints them."""
