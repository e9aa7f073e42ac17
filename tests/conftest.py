"""Fixtures that several directories use, and the order in which tests run."""

import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio

from tests.support import markers
from tests.support.mlflow_servers import MlflowServer, running_mlflow
from tests.support.protected_mlflow import ProtectedMlflow, running_protected_mlflow
from tests.support.s3_server import S3Server, running_s3
from tests.support.service import UNCONFINED, WITHOUT_MLFLOW, Service, running_service
from tests.support.work_units import UnitScheduling, check_units

TESTS = Path(__file__).parent
LONG = (
    "api/test_models.py",  # the first of a work unit, see tests/support/work_units.py
    "system/fidelity/test_fidelity.py",
    "system/test_environments.py",
    "mlflow/test_embedded.py",
    "supervisor/sandbox/test_builds.py",
    "supervisor/sandbox/test_selector.py",
    "supervisor/sandbox/test_attacks.py",
    "supervisor/sandbox/test_weaker_levels.py",
    "supervisor/sandbox/test_mlflow.py",
    "system/attacks/test_ports.py",
    "supervisor/limits/test_trees.py",
    "executors/local/warm/test_warm.py",
    "jobs/test_recovery.py",
    "jobs/test_lifecycle.py",
    "jobs/test_environment_phase.py",
    "cli/test_jobs.py",
    "cli/test_run.py",
    "cli/test_stranger.py",
)
"""The files that take longest (`make test PYTEST_ARGS=--durations=0`), in this order: they start
first, so that no worker is left alone with one at the end."""

SEED_VARIABLE = "ASGARD_TEST_SEED"
"""A seed: with it, the files, and the tests in each, run in random order."""

# Property tests try the same examples every time, and have no deadlines, so that none fails on a
# slow machine. `--hypothesis-profile=random` tries new examples.
for name, derandomize in (("asgard", True), ("random", False)):
    hypothesis.settings.register_profile(
        name,
        deadline=None,
        derandomize=derandomize,
        database=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile("asgard")


def pytest_configure() -> None:
    # a shell's background job ignores Ctrl-C, and SIGHUP under nohup; all processes that the tests
    # start would inherit this
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return UnitScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    check_units(items)
    _mark_users_of_services(items)
    _leave_out_soak_tests(config, items)
    if seed := os.environ.get(SEED_VARIABLE):
        items[:] = _shuffled(items, random.Random(seed))
    else:
        rank = {TESTS / file: number for number, file in enumerate(LONG)}
        items.sort(key=lambda item: rank.get(item.path, len(LONG)))


@pytest.hookimpl(tryfirst=True)  # before fixtures, which start services
def pytest_runtest_setup(item: pytest.Item) -> None:
    markers.current = frozenset(marker.name for marker in item.iter_markers())


def _mark_users_of_services(items: list[pytest.Item]) -> None:
    for item in items:
        names = set(item.fixturenames) if isinstance(item, pytest.Function) else set[str]()
        if names & {"service", "shared"}:
            item.add_marker(pytest.mark.service)
        if "shared" in names and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def _leave_out_soak_tests(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect soak tests unless `-m` or an argument such as `file.py::test` asks for them."""
    if "soak" in config.option.markexpr or any("::" in argument for argument in config.args):
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=soak)
    items[:] = [item for item in items if not item.get_closest_marker("soak")]


def _shuffled(items: list[pytest.Item], randomness: random.Random) -> list[pytest.Item]:
    """The files in random order, and the tests within each."""
    files = [list(group) for _, group in groupby(items, key=lambda item: item.path)]
    randomness.shuffle(files)
    for tests in files:
        randomness.shuffle(tests)
    return [test for tests in files for test in tests]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service for one test, whose MLflow refuses connections."""
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One service without MLflow for the session; tests neither stop it nor need an empty queue."""
    data_dir = tmp_path_factory.mktemp("shared") / "data"
    # tests and their jobs exchange files in the directory of the test
    async with running_service(data_dir, WITHOUT_MLFLOW | UNCONFINED) as started:
        yield started


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One real MLflow server for the session; tests use their own names."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for the session; tests use their own buckets."""
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def protected_mlflow(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server
) -> Iterator[ProtectedMlflow]:
    """One MLflow server for the session that needs a password and keeps artifacts in S3."""
    with running_protected_mlflow(tmp_path_factory.mktemp("protected"), s3_server) as server:
        yield server
