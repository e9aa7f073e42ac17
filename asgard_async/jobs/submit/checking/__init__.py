"""Checking scripts and archives in separate processes.

`compile` holds the GIL while it runs, and can exhaust the stack and crash the interpreter
(https://docs.python.org/3/library/functions.html#compile): in a thread, a hostile script would
stall or crash the service.
"""
