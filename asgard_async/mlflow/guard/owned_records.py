"""MLflow's tracking store as its auth application sees it: what has an owner belongs to the owner.

The auth application looks a run, logged model or trace up only to find its experiment, on which it
then requires a permission. For what has an owner, it finds what stands for the owner instead.
"""

from dataclasses import dataclass
from typing import Any

from asgard_async.mlflow.guard.account_store import owned_by
from asgard_async.mlflow.guard.owners import MODEL, RUN, TRACE, Owners


@dataclass(frozen=True)
class Owned:
    """A logged model or trace of which only the owner matters; any other use fails."""

    experiment_id: str


@dataclass(frozen=True)
class OwnedRun:
    """A run of which only the owner matters."""

    info: Owned


class OwnedRecords:
    """A tracking store in which owners take the place of experiments."""

    def __init__(self, store: Any, owners: Owners) -> None:
        self._store = store
        self._owners = owners

    def get_run(self, run_id: str) -> Any:
        """Return a run, or what stands for it."""
        if (owner := self._owners.of(RUN, run_id)) is not None:
            return OwnedRun(Owned(owned_by(owner)))
        return self._store.get_run(run_id)

    def get_logged_model(self, model_id: str, **options: Any) -> Any:
        """Return a logged model, or what stands for it."""
        if (owner := self._owners.of(MODEL, model_id)) is not None:
            return Owned(owned_by(owner))
        return self._store.get_logged_model(model_id, **options)

    def get_trace_info(self, trace_id: str, **options: Any) -> Any:
        """Return the description of a trace, or what stands for it."""
        if (owner := self._owners.of(TRACE, trace_id)) is not None:
            return Owned(owned_by(owner))
        return self._store.get_trace_info(trace_id, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
