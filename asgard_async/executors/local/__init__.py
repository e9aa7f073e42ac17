"""The local executor: attempts are supervised subprocesses on this machine."""
