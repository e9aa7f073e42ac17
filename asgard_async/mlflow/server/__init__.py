"""ASGI middleware around the embedded MLflow's application: callers, bodies, origins, storage.

It runs in MLflow's process and uses only the standard library. Each module is one concern;
`application.py` puts them together.
"""
