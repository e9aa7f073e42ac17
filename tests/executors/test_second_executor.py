"""Jobs on an executor that shares nothing with the local one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asgard_async.config import load_config
from asgard_async.config.component import DATA
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.domain.job import Job
from asgard_async.domain.status import Phase, Reason, Status
from asgard_async.executors.admission import SlotAdmission
from asgard_async.executors.component import EXECUTORS, ExecutorKind, job_files
from asgard_async.jobs.actions.cancel import Canceller
from asgard_async.jobs.actions.delete import Deleter
from asgard_async.jobs.cancellable_waits import CancellableWaits
from asgard_async.jobs.environment_phase import EnvironmentPhase
from asgard_async.jobs.lifecycle import Lifecycle
from asgard_async.logs.reader import LogReader
from asgard_async.scheduling.dispatcher import Dispatcher
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from tests.store.conftest import accept, new_job
from tests.support import api_service
from tests.support.eventually import eventually
from tests.support.plain_executor.executor import SLOW, UNKNOWN, PlainExecutor
from tests.support.plain_executor.files import PlainFiles

FOREVER = b"import time\nprint('up', flush=True)\nwhile True: time.sleep(60)"


class NoTracking:
    """A recorder without MLflow."""

    async def prepare(self, job: Job) -> dict[str, str]:
        return {"TRACKED": job.job_id}

    def expect(self, job_id: str) -> None:
        pass

    async def settle(self, job: Job) -> None:
        pass


class Service:
    """Queue, lifecycle and actions over the plain executor."""

    def __init__(self, root: Path, store: JobStore, slots: int) -> None:
        config = load_config(environ={}, overrides={"jobs": {"stop_grace_seconds": 0.3}})
        self.store = store
        self.executor = executor = PlainExecutor(root / "plain")
        archives = ArchiveStore(root / "archives")
        cancellable_waits = CancellableWaits(store)
        environment_phase = EnvironmentPhase(cancellable_waits=cancellable_waits, executor=executor)
        self.tasks = BackgroundTasks()
        self.job_tasks = BackgroundTasks()
        self.dispatcher = Dispatcher(
            store=store,
            lifecycle=Lifecycle(
                config=config.jobs,
                store=store,
                archives=archives,
                executor=executor,
                logs=LogReader(executor.logs),
                recording=NoTracking(),
                environment_phase=environment_phase,
                cancellable_waits=cancellable_waits,
                requeued=lambda: self.dispatcher.wake(),
            ),
            first_phase=environment_phase.first_phase,
            ready=executor.ready,
            background=self.job_tasks,
            admission=SlotAdmission(slots),
        )
        self.canceller = Canceller(
            store=store, executor=executor, cancellable_waits=cancellable_waits
        )
        self.deleter = Deleter(store=store, archives=archives, executor=executor)

    async def submit(self, script: bytes, **fields: Any) -> str:
        job = await accept(self.store, new_job(script, **fields))
        self.dispatcher.wake()
        return job.job_id

    async def in_phase(self, job_id: str, *phases: Phase) -> Job:
        async def reached() -> Job | None:
            job = await self.store.get(job_id)
            return job if job.phase in phases else None

        return await eventually(reached, what=f"{job_id} is in {phases}")

    async def finished(self, job_id: str) -> Job:
        return await self.in_phase(job_id, Phase.FINISHED)

    async def prints(self, job_id: str, text: bytes) -> None:
        async def printed() -> bool:
            return text in (await self.executor.logs.tail(job_id, 1000)).data

        await eventually(printed, what=f"{job_id} prints {text!r}")


@asynccontextmanager
async def running(root: Path, slots: int = 2) -> AsyncIterator[Service]:
    """A service that stops as for a restart: its attempts continue."""
    async with Database(root / "asgard.db") as database:
        service = Service(root, JobStore(database), slots)
        await service.dispatcher.recover()
        service.tasks.keep_running("dispatcher", service.dispatcher.run)
        yield service
        await service.tasks.stop()
        await service.job_tasks.stop()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path) as started:
        yield started


async def phases(service: Service, job_id: str) -> list[Phase]:
    return [entry.phase for entry in await service.store.history(job_id)]


async def test_a_submitted_job_completes(service: Service) -> None:
    script = b"import os\nprint(os.environ['TRACKED'], os.environ['MINE'])"
    job_id = await service.submit(script, environment_vars={"MINE": "x"})
    job = await service.finished(job_id)
    assert (job.status, job.outcome and job.outcome.exit_code) == (Status.COMPLETED, 0)
    assert (await service.executor.logs.tail(job_id, 100)).data == f"{job_id} x\n".encode()
    assert await phases(service, job_id) == [
        *(Phase.QUEUED, Phase.STARTING, Phase.RUNNING, Phase.RECORDING, Phase.FINISHED)
    ]


async def test_a_failed_job_names_its_exception(service: Service) -> None:
    job = await service.finished(await service.submit(b"raise ValueError('none')"))
    assert job.outcome is not None
    assert job.outcome.reason is Reason.EXIT_CODE
    assert (job.outcome.error or "").endswith("\nValueError: none")


async def test_a_running_job_is_cancelled(service: Service) -> None:
    job_id = await service.submit(FOREVER)
    await service.prints(job_id, b"up")
    await service.in_phase(job_id, Phase.RUNNING)
    await service.canceller.cancel(job_id)
    assert (await service.finished(job_id)).status is Status.CANCELLED
    await service.deleter.delete(job_id)
    assert await service.executor.logs.size(job_id) == 0


async def test_a_job_waits_for_its_environment(service: Service) -> None:
    job_id = await service.submit(b"print('ran')", requirements=("package",))
    await service.finished(job_id)
    log = (await service.executor.logs.tail(job_id, 100)).data
    assert log == b"installing package\nran\n"
    assert (await phases(service, job_id))[:3] == [
        *(Phase.QUEUED, Phase.ENVIRONMENT, Phase.STARTING)
    ]


async def test_a_failed_environment_fails_the_job(service: Service) -> None:
    job = await service.finished(await service.submit(b"print()", requirements=(UNKNOWN,)))
    assert job.outcome is not None
    assert job.outcome.reason is Reason.ENVIRONMENT_FAILED
    assert job.outcome.error == "There is no such package."
    assert job.started is None


async def test_cancelling_abandons_the_environment(service: Service) -> None:
    job_id = await service.submit(b"print()", requirements=(SLOW,))
    await service.prints(job_id, b"installing")
    await service.canceller.cancel(job_id)
    assert (await service.finished(job_id)).status is Status.CANCELLED
    assert [environment.requirements for environment in service.executor.abandoned] == [(SLOW,)]


async def test_a_restarted_service_resumes_its_jobs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)"
    jobs: Mapping[str, str] = {}
    async with running(tmp_path, slots=3) as service:
        jobs = {name: await service.submit(script.encode()) for name in "abc"}
        for job_id in jobs.values():
            await service.in_phase(job_id, Phase.RUNNING)
        queued = await service.submit(b"print('later')")
    async with running(tmp_path, slots=1) as service:
        # three jobs run where one may: nothing starts before all three have ended
        await service.canceller.cancel(jobs["a"])
        await service.finished(jobs["a"])
        await service.canceller.cancel(jobs["b"])
        await service.finished(jobs["b"])
        assert (await service.store.get(queued)).phase is Phase.QUEUED
        go.touch()
        assert (await service.finished(jobs["c"])).status is Status.COMPLETED
        assert (await service.finished(queued)).status is Status.COMPLETED


@asynccontextmanager
async def plain_executor(app: web.Application) -> AsyncIterator[PlainExecutor]:
    yield PlainExecutor(app[DATA].root / "plain")


def plain_job_files(data: DataDirectory) -> PlainFiles:
    return PlainFiles(data.root / "plain")


@pytest.mark.service
async def test_the_whole_service_runs_on_a_second_executor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ExecutorKind(
        open=plain_executor, job_files=plain_job_files, admission=lambda jobs: SlotAdmission(1)
    )
    monkeypatch.setitem(EXECUTORS, "plain", kind)
    monkeypatch.setattr("asgard_async.executors.component.DEFAULT", "plain")
    async with api_service.running(api_service.service_config(tmp_path)) as client:
        job = await api_service.submit(client, "print('over HTTP')\n")
        ended = await api_service.finished(client, job["job_id"])
        assert ended["status"] == "completed"
        response = await client.get(f"/mlops/training/jobs/{job['job_id']}/logs")
        assert await response.text() == "over HTTP\n"
        ready = await api_service.get_json(client, "/health/ready")
        assert (ready["isolation"], ready["limits"]) == ("process", {"memory": "nothing"})
        metrics = await (await client.get("/metrics")).text()
        assert 'asgard_isolation_info{level="process"} 1.0' in metrics
        assert 'asgard_limits{by="nothing",limit="memory"} 1.0' in metrics
    # `asgard gc` finds them without the service
    assert job_files(DataDirectory(root=tmp_path)).job_ids() == {job["job_id"]}
