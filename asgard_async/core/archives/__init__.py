"""Untrusted archives: member-by-member checks, and unpacking.

Standard library alone: the checking process (jobs/submit/checking/archive_program.py) runs this
without site-packages. No header is trusted: sizes are counted from what is actually decompressed.
"""
