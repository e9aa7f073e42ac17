"""Supervision of processes that outlive the service: jobs, builds and the embedded MLflow server.

A process is described by a specification (`process_spec`), run by the shim in a numbered directory
(`attempts`, `attempt`), confined (`sandbox`), limited (`limits`) and restarted (`restart`). A
long-running server puts these together; mlflow/embedded.py is an example.
"""
