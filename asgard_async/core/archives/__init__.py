"""Untrusted archives: member-by-member checks, and unpacking.

This package imports only the standard library, because the checking process
(jobs/submit/checking/archive_program.py) runs it without site-packages. No header is trusted: sizes
are counted while decompressing.
"""
