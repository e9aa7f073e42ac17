"""Phase RECORDING: the MLflow runs of ended jobs are found and recorded.

A job stays in this phase only briefly; if MLflow is unavailable, its runs are recorded later.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from asgard_async.domain.errors import JobNotFound, TrackingUnavailable
from asgard_async.domain.job import Job
from asgard_async.domain.status import Reason
from asgard_async.jobs.failure import runs_ended_at_exit
from asgard_async.jobs.tracking_uri import own_tracking_uri
from asgard_async.logs.reader import LogReader
from asgard_async.mlflow.attempt_tokens import AttemptTokens
from asgard_async.mlflow.experiments import Experiments
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.job_variables import job_environment
from asgard_async.mlflow.logged_models import NO_MODEL
from asgard_async.mlflow.monitor import Monitor
from asgard_async.mlflow.reconciler import RunReconciler
from asgard_async.mlflow.runs import EndedJob
from asgard_async.store.jobs import JobStore

logger = logging.getLogger(__name__)

BATCH = 200
BATCHING_SECONDS = 2.0
"""Delay for the runs of jobs without MLflow imports, so that several jobs share one search."""
LOG_TAIL_BYTES = 64 * 1024
OUTAGE_SECONDS = 1.0
FAILED_SECONDS = 30.0
"""Pause before a retry of the jobs for which MLflow failed."""
START_TIMEOUT_SECONDS = 60.0
"""Longest wait for a starting MLflow server before a job's experiment is created."""


class Recorder:
    """Looks up the runs of ended jobs, many with one search, until all are recorded."""

    def __init__(
        self,
        *,
        store: JobStore,
        gateway: MlflowGateway,
        experiments: Experiments,
        monitor: Monitor,
        reconciler: RunReconciler,
        server_id: str,
        settle_seconds: float,
        logs: LogReader | None = None,
        tokens: AttemptTokens | None = None,
    ) -> None:
        """`logs` tell how a script ended its runs; `tokens` are those of the embedded MLflow."""
        self._store = store
        self._gateway = gateway
        self._experiments = experiments
        self._monitor = monitor
        self._reconciler = reconciler
        self._server_id = server_id
        self._settle_seconds = settle_seconds
        self._logs = logs
        self._tokens = tokens
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._new: set[str] = set()
        """Jobs that ended in this service process and have not been looked up in MLflow yet."""
        self._due = asyncio.Event()
        self._due.set()  # an earlier service process may have left pending jobs
        self._timer: asyncio.TimerHandle | None = None

    async def prepare(self, job: Job) -> dict[str, str]:
        """See `lifecycle.Recording`."""
        if job.uses_tracking:
            if self._monitor.snapshot.mlflow_api == "starting":
                await self._monitor.wait_accessible(START_TIMEOUT_SECONDS)
            if self._monitor.snapshot.available:
                await self._experiments.ensure_experiment(
                    job.spec.experiment_name, owner=job.submitted_by
                )
        token = ""
        if self._tokens is not None:
            token = self._tokens.of_attempt(
                job.job_id,
                job.attempt,
                owner=job.submitted_by,
                timeout_seconds=job.spec.timeout,
            )
        return job_environment(
            self._gateway.address,
            experiment_name=job.spec.experiment_name,
            job_id=job.job_id,
            attempt=job.attempt,
            server_id=self._server_id,
            tags=job.spec.tags,
            arguments=job.spec.arguments,
            own=job.spec.environment_vars,
            token=token,
        )

    def expect(self, job_id: str) -> None:
        """See `lifecycle.Recording`."""
        self._new.add(job_id)

    async def settle(self, job: Job) -> None:
        """See `lifecycle.Recording`."""
        if not job.uses_tracking:
            self._schedule(after=BATCHING_SECONDS)
            return
        recorded = asyncio.get_running_loop().create_future()
        self._waiting[job.job_id] = recorded
        self._due.set()
        try:
            # not wait_for: in Python 3.11 it can swallow a cancellation
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settle_seconds):
                    await recorded
        finally:
            self._waiting.pop(job.job_id, None)

    def _schedule(self, *, after: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + after:
                return
            self._timer.cancel()
        self._timer = loop.call_later(after, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._due.set()

    async def run(self) -> None:
        """Record runs for as long as the service runs."""
        while True:
            await self._due.wait()
            await self._monitor.wait_accessible()
            self._due.clear()  # before the search: a job that ends meanwhile sets it again
            try:
                await self._record_pending()
            except TrackingUnavailable as error:
                logger.warning("runs of jobs will be recorded once MLflow answers: %s", error)
                self._monitor.report_failure()
                self._schedule(after=OUTAGE_SECONDS)
            except Exception:
                self._due.set()  # for the restart of this task
                raise

    async def _record_pending(self) -> None:
        expected = frozenset(self._new)
        jobs = await self._store.to_track(BATCH)
        while jobs:
            await self._record_each(jobs)
            # jobs for which MLflow fails stay pending, and must not block the others
            jobs = await self._store.to_track(BATCH, after=jobs[-1].seq)
        self._new -= expected  # the remaining jobs were deleted

    async def _record_each(self, jobs: Sequence[Job]) -> None:
        """Record jobs together, or one by one if that fails unexpectedly because of one of them."""
        try:
            await self._record(jobs)
        except TrackingUnavailable:
            raise
        except Exception:
            if len(jobs) == 1:
                logger.exception("the runs of job %s cannot be recorded", jobs[0].job_id)
                self._schedule(after=FAILED_SECONDS)
                return
            for job in jobs:
                await self._record_each([job])

    async def _record(self, jobs: Sequence[Job]) -> None:
        ended = [await self._ended(job) for job in jobs]
        self._new.difference_update(job.job_id for job in jobs)
        settled = await self._reconciler.reconcile(ended)
        for job in jobs:
            if (result := settled.get(job.job_id)) is None:
                continue
            note = result.problem or result.choice
            if note == NO_MODEL and not result.tracking.runs:
                note = await self._why_no_run(job)
            await self._store.set_tracking(job.job_id, result.tracking, note=note)
            if (recorded := self._waiting.get(job.job_id)) is not None and not recorded.done():
                recorded.set_result(None)
        if any(result.tracking.model_version for result in settled.values()):
            self._monitor.check_now()  # the status counts model versions
        if len(settled) < len(jobs):
            # MLflow failed for some jobs and may fail again, so other jobs do not wait for them
            self._schedule(after=FAILED_SECONDS)

    async def _ended(self, job: Job) -> EndedJob:
        assert job.outcome is not None  # noqa: S101  # a job is pending only once it has an outcome
        return EndedJob(
            job_id=job.job_id,
            owner=job.submitted_by,
            attempt=job.attempt,
            resumes=job.spec.environment_vars.get("MLFLOW_RUN_ID"),
            uses_tracking=job.uses_tracking,
            ended_at_exit=await self._ended_at_exit(job, job.outcome.reason),
            reason=job.outcome.reason,
            started_at=job.created_at,  # includes the runs of earlier attempts
            ended_at=job.outcome.ended_at,
            model_name=job.spec.model_name,
            tags=job.spec.tags,
            may_be_registered=job.job_id not in self._new,
        )

    async def _ended_at_exit(self, job: Job, reason: Reason) -> frozenset[str] | None:
        if self._logs is None or reason is Reason.SUCCEEDED or not job.uses_tracking:
            return None
        try:
            tail = await self._logs.tail_bytes(job.job_id, LOG_TAIL_BYTES)
        except OSError:
            return None
        return runs_ended_at_exit(tail.data.decode(errors="replace"))

    async def _why_no_run(self, job: Job) -> str:
        """Return the reason why a completed job has neither a run nor a model."""
        script = b""
        if job.archive is None:
            with contextlib.suppress(JobNotFound):
                script = await self._store.script(job.job_id)
        if (address := own_tracking_uri(script)) is not None:
            return f"No run was found: the script logged to {address}, not to Asgard's MLflow."
        return "No run was found: none reached Asgard's MLflow."
