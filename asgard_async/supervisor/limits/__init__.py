"""What keeps jobs within their limits: control groups where there are any, resource limits else.

Found out once, when the service starts. What is done to a job with it is in shim/limits.py.
"""
