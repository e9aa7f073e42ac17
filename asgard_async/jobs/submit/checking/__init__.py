"""Checking scripts in a process of their own.

`compile` holds the interpreter's lock for as long as it takes, and can exhaust its stack and crash
(https://docs.python.org/3/library/functions.html#compile): in a thread, one hostile script would
stall or end the service.
"""
