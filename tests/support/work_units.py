"""Work units for pytest-xdist: a file, or several files that share an expensive server.

Each worker has its own session fixtures, so a server would start once per worker that gets a file
which uses it.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

TESTS = Path(__file__).parents[1]

SHARING = (
    (
        {"mlflow_server", "protected_mlflow", "s3_server"},
        {
            "api/test_models.py",
            "api/test_registry.py",
            "cli/test_doctor.py",
            "client/test_notebook.py",
            "jobs/test_recorder.py",
            "mlflow/server/test_foreign_stores.py",
            "mlflow/test_artifact_store.py",
            "mlflow/test_experiments.py",
            "mlflow/test_gateway.py",
            "mlflow/test_models.py",
            "mlflow/test_monitor.py",
            "mlflow/test_reconciler.py",
            "mlflow/test_registration.py",
            "mlflow/test_script.py",
            "system/fuzz/test_openapi.py",
            "system/test_artifacts_in_s3.py",
            "system/test_external_mlflow.py",
        },
    ),
    (
        {"embedded"},
        {
            "mlflow/server/test_attacks.py",
            "mlflow/server/test_memory.py",
            "mlflow/server/test_storage.py",
        },
    ),
    (
        {"guarded"},
        {
            "mlflow/guard/test_attacks.py",
            "mlflow/guard/test_calls.py",
            "mlflow/guard/test_guard.py",
        },
    ),
    (
        {"asgard_service"},
        {
            "system/test_asgard_run.py",
            "system/test_environments.py",
            "system/test_field_runs.py",
            "system/test_many_jobs.py",
            "system/test_old_client.py",
            "system/test_report_checks.py",
        },
    ),
    (
        {"warm_server"},
        {
            "system/fidelity/test_entropy.py",
            "system/fidelity/test_fidelity.py",
        },
    ),
)
"""Fixtures, and the files below tests/ that use them, which one worker runs."""

UNIT_OF = {
    f"tests/{file}": f"unit {number}" for number, (_, unit) in enumerate(SHARING) for file in unit
}


class UnitScheduling(LoadFileScheduling):  # type: ignore[misc]
    """The schedule of `--dist loadfile`, with `SHARING`."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        unit: str = UNIT_OF.get(file, file)
        return unit


def check_units(items: Iterable[pytest.Item]) -> None:
    """Require that a file which uses a shared server is in the server's unit.

    Raises:
        pytest.UsageError: It is not.
    """
    for path, names in {
        (item.path, frozenset(item.fixturenames))
        for item in items
        if isinstance(item, pytest.Function)
    }:
        file = path.relative_to(TESTS).as_posix()
        for servers, unit in SHARING:
            if not servers.isdisjoint(names) and file not in unit:
                server = ", ".join(servers & names)
                raise pytest.UsageError(
                    f"{file} uses {server}; add it to SHARING in tests/support/work_units.py"
                )
