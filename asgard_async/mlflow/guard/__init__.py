"""Permissions in the embedded MLflow: MLflow's own auth application, with Asgard's accounts.

It runs in MLflow's process and imports MLflow, so the service never imports it. MLflow's
validators decide on every route; Asgard tells them who calls (`authorization.py`), which accounts
exist (`account_store.py`), and who made a run, a logged model or a trace (`owners.py`,
`owned_records.py`). `rules.py` replaces the few validators that cannot know the latter.
"""
