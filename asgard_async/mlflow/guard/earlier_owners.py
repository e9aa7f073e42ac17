"""The owners of what jobs made before the guard was on, from the owners of the jobs.

Runs and logged models have the id of their job as a tag, and versions of registered models, too.
The service sends the owners of all jobs once, and again after the guard was off for a while.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from asgard_async.mlflow.guard.account_store import AccountStore
from asgard_async.mlflow.guard.owners import MODEL, RUN, Owners
from asgard_async.mlflow.server.identities import account_of_owner
from asgard_async.mlflow.server.protection import OWNERS_KNOWN
from asgard_async.mlflow.server.tags import JOB_TAG

MADE = {
    RUN: """
        SELECT tags.run_uuid, owners.owner, runs.experiment_id
        FROM tags JOIN owners ON owners.job_id = tags.value JOIN runs USING (run_uuid)
        WHERE tags.key = :tag
    """,
    MODEL: """
        SELECT model_id, owners.owner, experiment_id
        FROM logged_model_tags JOIN owners ON owners.job_id = tag_value WHERE tag_key = :tag
    """,
}
EXPERIMENTS = """
    SELECT DISTINCT runs.experiment_id, owners.owner
    FROM tags JOIN owners ON owners.job_id = tags.value JOIN runs USING (run_uuid)
    WHERE tags.key = :tag ORDER BY runs.start_time
"""
"""The owners with runs in each experiment, the earliest first."""
REGISTERED = """
    SELECT DISTINCT tags.name, owners.owner
    FROM model_version_tags AS tags JOIN owners ON owners.job_id = tags.value
    WHERE tags.key = :tag ORDER BY tags.version
"""


class EarlierOwners:
    """Takes the owners of jobs, and records those of what the jobs made."""

    def __init__(self, store: Path, *, owners: Owners, accounts: AccountStore) -> None:
        self._store = store
        self._owners = owners
        self._accounts = accounts
        self._of_jobs: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def are_unknown(self) -> bool:
        """True until the service has sent the owners of all jobs."""
        return not (self._store / OWNERS_KNOWN).exists()

    def take(self, of_jobs: Mapping[str, str], *, is_complete: bool) -> None:
        """Take owners of jobs; record the owners of everything with the last of them."""
        with self._lock:
            self._of_jobs |= of_jobs
            if is_complete:
                found, self._of_jobs = self._of_jobs, {}
                self._record(found)
                (self._store / OWNERS_KNOWN).touch()

    def _record(self, of_jobs: Mapping[str, str]) -> None:
        uri = f"file:{self._store / 'mlflow.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            database.execute("CREATE TEMP TABLE owners (job_id TEXT PRIMARY KEY, owner TEXT)")
            accounts = {job: account_of_owner(owner) for job, owner in of_jobs.items()}
            database.executemany("INSERT INTO owners VALUES (?, ?)", accounts.items())
            parameters = {"tag": JOB_TAG}
            for kind, statement in MADE.items():
                self._owners.add_all(
                    (kind, record_id, owner, str(experiment_id))
                    for record_id, owner, experiment_id in database.execute(statement, parameters)
                )
            # who has runs in an experiment may read it and go on; the first may rename it
            experiments = database.execute(EXPERIMENTS, parameters).fetchall()
            self._grant("experiment", experiments, others="READ")
            # who has versions of a model may add others
            registered = database.execute(REGISTERED, parameters).fetchall()
            self._grant("registered_model", registered, others="EDIT")

    def _grant(self, kind: str, owned: Iterable[tuple[object, str]], *, others: str) -> None:
        for resource, owner in owned:
            held = self._owners.grants_on(kind, str(resource))
            if owner not in held:
                permission = others if "MANAGE" in held.values() else "MANAGE"
                self._accounts.ensure(owner)
                self._accounts.grant_user_permission(owner, kind, str(resource), permission)
