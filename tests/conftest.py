"""Fixtures that more than one folder needs."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.basic_auth import ProtectedMlflow, running_protected_mlflow
from tests.support.mlflow_servers import MlflowServer, running_mlflow
from tests.support.s3 import S3Server, running_s3
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

TESTS = Path(__file__).parent
LONG = {
    "mlflow/test_embedded.py",
    "system/fidelity/test_fidelity.py",
    "system/test_environments.py",
    "supervisor/limits/test_trees.py",
    "jobs/test_environment_phase.py",
    "supervisor/sandbox/test_builds.py",
    "cli/test_jobs.py",
    "cli/test_run.py",
    "executors/local/warm/test_warm.py",
    "system/test_external_mlflow.py",
    "supervisor/limits/test_builds.py",
    "supervisor/sandbox/test_selector.py",
    "system/attacks/test_slow_clients.py",
    "cli/test_run_in_terminal.py",
    "supervisor/sandbox/test_attacks.py",
    "supervisor/sandbox/test_weaker_levels.py",
    "system/test_upgrade.py",
}
"""More than 40 s each (`make test PYTEST_ARGS=--durations=0`)."""


def pytest_configure() -> None:
    # a shell's job in the background ignores Ctrl-C, under nohup hang-ups too, and so would
    # whatever the tests start
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.relative_to(TESTS).as_posix() not in LONG)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A started service whose MLflow refuses connections; everything is gone at the end."""
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as started:
        yield started


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One real MLflow server for the whole session; tests keep apart by names of their own."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for the whole session; tests keep apart by buckets of their own."""
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def protected_mlflow(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server
) -> Iterator[ProtectedMlflow]:
    """One MLflow server that wants a password and keeps artifacts in S3, for the whole session."""
    with running_protected_mlflow(tmp_path_factory.mktemp("protected"), s3_server) as server:
        yield server
