"""A second executor, for tests: no shim, no sandbox, another layout of files.

Each attempt is run by a detached process of runner.py, which knows nothing of the service.
"""
