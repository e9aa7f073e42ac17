"""Archives of strangers: what is in them, checked member by member, and unpacking.

Standard library alone: the checking process (jobs/checking/archive_program.py) runs this without
site-packages. Nothing here trusts a header: sizes are those of what really comes out.
"""
