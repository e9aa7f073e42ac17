"""Benchmarks: each figure is measured next to a peer. Run one with `python -m benchmarks.NAME`."""
