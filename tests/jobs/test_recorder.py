"""Recording the runs of ended jobs, even while MLflow fails for some of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from asgard_async.core.timestamps import now
from asgard_async.domain.job import Job, Outcome, Started
from asgard_async.domain.status import Phase, Reason
from asgard_async.jobs import recorder as recorder_module
from asgard_async.jobs.recorder import Recorder
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.experiments import Experiments
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.monitor import Monitor
from asgard_async.mlflow.reconciler import Reconciliation, RunReconciler
from asgard_async.mlflow.runs import EndedJob
from asgard_async.store.database import Database
from asgard_async.store.jobs import JobStore
from tests.store.conftest import accept, new_job
from tests.support.eventually import eventually
from tests.support.mlflow_servers import MlflowServer, Relay, relaying
from tests.support.mlflow_user import MlflowUser, fresh

pytestmark = pytest.mark.mlflow

CREATE, SEARCH = "model-versions/create", "model-versions/search"


class Pending:
    """Completed jobs with a model whose runs are not recorded yet."""

    def __init__(self, store: JobStore, user: MlflowUser) -> None:
        self._store = store
        self.user = user

    async def job(self, model_name: str, recorder: Recorder | None = None) -> Job:
        """A job that ended in this service process, or in an earlier one."""
        job = await accept(self._store, new_job(model_name=model_name, uses_tracking=True))
        began = now()
        await self._store.claim_next(began)
        await self._store.move(
            job.job_id, Phase.RUNNING, at=began, attempt=1, started=Started(at=began)
        )
        await self._log_model(job.job_id, began)
        if recorder is not None:
            recorder.expect(job.job_id)
        outcome = Outcome(reason=Reason.SUCCEEDED, exit_code=0, ended_at=now())
        await self._store.end(
            job.job_id, Phase.RECORDING, outcome, at=now(), attempt=1, tracking_pending=True
        )
        return await self._store.finish(job.job_id, at=now())

    async def _log_model(self, job_id: str, began: datetime) -> None:
        experiment_id = await self.user.experiment()
        run_id = await self.user.run(
            experiment_id,
            started_at=began,
            ended_at=now(),
            asgard__job_id=job_id,
            asgard__attempt="1",
            asgard__server_id=await self._store.server_id(),
        )
        await self.user.log_model(experiment_id, run_id)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    async with Database(tmp_path / "asgard.db") as database:
        yield JobStore(database)


@pytest.fixture
async def relay(mlflow_server: MlflowServer) -> AsyncIterator[Relay]:
    async with relaying(mlflow_server.uri) as relay:
        yield relay


@pytest.fixture
async def pending(mlflow_server: MlflowServer, store: JobStore) -> AsyncIterator[Pending]:
    async with aiohttp.ClientSession() as session:
        yield Pending(store, MlflowUser(mlflow_server.uri, session))


class FailingReconciler(RunReconciler):
    """Fails in an unexpected way while one job is among the others."""

    poison = ""

    async def reconcile(self, jobs: Sequence[EndedJob]) -> Mapping[str, Reconciliation]:
        if any(job.job_id == self.poison for job in jobs):
            raise OverflowError
        return await super().reconcile(jobs)


@asynccontextmanager
async def recording(
    relay: Relay, store: JobStore, kind: type[RunReconciler] = RunReconciler
) -> AsyncIterator[Recorder]:
    async with MlflowGateway(MlflowAddress.parse(relay.uri), timeout_seconds=30) as gateway:
        monitor, server_id = Monitor(gateway, refresh_seconds=5), await store.server_id()
        recorder = Recorder(
            store=store,
            gateway=gateway,
            experiments=Experiments(gateway, wait_seconds=5),
            monitor=monitor,
            reconciler=kind(gateway, server_id=server_id),
            server_id=server_id,
            settle_seconds=30,
        )
        tasks = [asyncio.create_task(run()) for run in (monitor.run, recorder.run)]
        try:
            yield recorder
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def version_of(store: JobStore, job: Job) -> str | None:
    return (await store.get(job.job_id)).tracking.model_version


async def test_a_failing_job_does_not_block_the_others(
    relay: Relay, store: JobStore, pending: Pending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "BATCH", 1)
    poison = fresh("poison")
    older, younger = await pending.job(poison), await pending.job(fresh("fine"))
    relay.fail(CREATE, 500, poison.encode())
    async with recording(relay, store):

        async def known() -> bool:
            return await version_of(store, younger) == "1"

        await eventually(known, what="the younger job's model is recorded")
    assert (await store.get(older.job_id)).tracking_pending


async def test_an_unexpected_error_concerns_one_job(
    relay: Relay, store: JobStore, pending: Pending, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, younger = await pending.job(fresh("poison")), await pending.job(fresh("fine"))
    monkeypatch.setattr(FailingReconciler, "poison", older.job_id)
    async with recording(relay, store, FailingReconciler):

        async def known() -> bool:
            return await version_of(store, younger) == "1"

        await eventually(known, what="the younger job's model is recorded")
    assert (await store.get(older.job_id)).tracking_pending


async def test_a_version_is_sought_where_one_may_exist(
    relay: Relay, store: JobStore, pending: Pending
) -> None:
    inherited = await pending.job(fresh("inherited"))
    async with recording(relay, store) as recorder:

        async def known(job: Job) -> bool:
            return await version_of(store, job) == "1"

        await eventually(lambda: known(inherited), what="the inherited job's model is recorded")
        assert relay.seen[SEARCH] == 2
        fine = await pending.job(fresh("fine"), recorder)
        await recorder.settle(fine)
        assert await known(fine)
        assert relay.seen[SEARCH] == 3

        name = fresh("cut")
        await pending.user.call("POST", "registered-models/create", {"name": name})
        relay.lose_answer(CREATE)
        cut = await pending.job(name, recorder)
        await recorder.settle(cut)
        assert await known(cut)
    assert len(await pending.user.versions(name)) == 1
