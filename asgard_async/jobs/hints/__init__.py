"""Hints on common failures of scripts: one sentence or two on what to change.

Wrong advice is worse than none. Each hint is a row of a table (`table.py`): the messages that it is
about, the facts that must be known of the job, and the text. Each row has real outputs in
tests/jobs/outputs that show when it is given. Standard library only.
"""
