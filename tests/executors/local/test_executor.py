"""The files of the local executor's attempts."""

import asyncio
import threading
from pathlib import Path

import pytest

from asgard_async.config import load_config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.domain.attempt import AttemptId, End
from asgard_async.environments.provider import create_environment_provider
from asgard_async.executors.base import AttemptRequest, CannotStart
from asgard_async.executors.local.executor import MAX_REMOVALS, LocalExecutor
from asgard_async.executors.local.job_files import LocalJobFiles
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.sandbox.selector import IsolationSelector


@pytest.fixture
def executor(tmp_path: Path) -> LocalExecutor:
    config = load_config(environ={})
    data = DataDirectory(root=tmp_path).make()
    selector = IsolationSelector(config, data)
    enforcer = LimitEnforcer(config.limits, jobs_dir=data.jobs, builds_dir=data.builds)
    return LocalExecutor(
        jobs_dir=data.jobs,
        files=LocalJobFiles(data),
        log_limit_bytes=1 << 20,
        in_use=tmp_path / "jobs.lock",
        archive_limits=ArchiveLimits(max_members=10, max_unpacked_bytes=1 << 20),
        warm=WarmServers(config.warm, data=data, base_alone=False),
        selector=selector,
        enforcer=enforcer,
        limits=config.limits,
        environments=create_environment_provider(
            config, data, selector, enforcer=enforcer, compile_niceness=0
        ),
    )


async def test_directories_that_a_job_made_read_only_are_removed(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    # root may write everywhere: the test is only meaningful for other users
    closed = tmp_path / "jobs" / "0000000a" / "attempts" / "1" / "home" / "cache"
    (closed / "deeper").mkdir(parents=True)
    (closed / "deeper" / "file").touch()
    for path in (closed / "deeper", closed):
        path.chmod(0o500)
    await executor.remove("0000000a")
    assert not (tmp_path / "jobs" / "0000000a").exists()


async def test_an_attempt_that_never_began_names_a_cause(executor: LocalExecutor) -> None:
    ended = await executor.wait(AttemptId(job_id="0000000a", number=1))
    assert ended.end is End.NOT_STARTED
    assert "see shim.log of this attempt" in (ended.error or "")


async def test_removal_does_not_follow_links(executor: LocalExecutor, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    job = tmp_path / "jobs" / "0000000a"
    (job / "closed").mkdir(parents=True)
    (job / "closed" / "link").symlink_to(outside)
    (job / "closed").chmod(0o500)
    await executor.remove("0000000a")
    assert not job.exists()
    assert outside.stat().st_mode & 0o777 == 0o500


@pytest.mark.slow
async def test_removals_do_not_hold_up_other_work(executor: LocalExecutor, tmp_path: Path) -> None:
    jobs = [tmp_path / "jobs" / f"{number:08x}" for number in range(40)]
    for job in jobs:
        job.mkdir()
        for number in range(300):
            (job / f"{number}").touch()
    removals = [asyncio.create_task(executor.remove(job.name)) for job in jobs]
    most = 0
    while not all(removal.done() for removal in removals):
        # the default threads, which read logs, for example
        names = await asyncio.to_thread(lambda: [one.name for one in threading.enumerate()])
        most = max(most, names.count("run_in_daemon_thread"))
    await asyncio.gather(*removals)
    # a thread that has finished its work may exist for another moment
    assert 0 < most <= 2 * MAX_REMOVALS
    assert not any(job.exists() for job in jobs)


@pytest.mark.parametrize(
    ("imports", "has_mlflow"),
    [(None, True), (frozenset({"mlflow", "os"}), True), (frozenset({"os"}), False)],
)
async def test_mlflow_is_added_only_for_programs_that_import_it(
    executor: LocalExecutor, imports: frozenset[str] | None, has_mlflow: bool
) -> None:
    requirements = ["no-such-package-of-asgard"]
    environment = executor.environment_for(requirements, job_id="0000000a", imports=imports)
    assert environment is not None
    assert any(one.startswith("mlflow==") for one in environment.requirements) == has_mlflow
    named = executor.environment_for([*requirements, "mlflow<2"], imports=frozenset({"os"}))
    assert named is not None
    assert "mlflow<2" in named.requirements


async def test_an_environment_deleted_meanwhile_is_reported(executor: LocalExecutor) -> None:
    environment = executor.environment_for(["no-such-package-of-asgard"], job_id="0000000a")
    assert environment is not None
    request = AttemptRequest(
        attempt=AttemptId(job_id="0000000a", number=1),
        script_name="train.py",
        environment=environment,
        variables={},
        timeout=60,
        grace=1,
    )
    with pytest.raises(CannotStart, match="environment was removed"):
        await executor.start(request)
