"""Reconciliation of ended jobs with MLflow: find runs, end open ones, register models."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from asgard_async.domain.errors import (
    AsgardError,
    TrackingNotFound,
    TrackingRejected,
    TrackingUnavailable,
)
from asgard_async.domain.job import JobTracking
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import MlflowInternalError, ResponseTooLarge
from asgard_async.mlflow.registration import register_for_job, versions_from
from asgard_async.mlflow.runs import (
    MAX_RUNS,
    EndedJob,
    FoundRun,
    end_open_runs,
    find_runs,
    job_run,
    runs_of_attempt,
)
from asgard_async.mlflow.wire import ModelVersion

logger = logging.getLogger(__name__)

MAX_CONCURRENT_JOBS = 4


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """The final result for a job; reconciling the job again gives the same result."""

    tracking: JobTracking
    problem: str | None = None
    """The reason why part of it could not be recorded, as a sentence for users."""


class RunReconciler:
    """Reconciles jobs with MLflow. Repeated calls give the same result and create nothing twice."""

    def __init__(self, gateway: MlflowGateway, *, server_id: str) -> None:
        self._gateway = gateway
        self._server_id = server_id
        # two concurrent calls for a job could both find no model version and create one each
        self._lock = asyncio.Lock()

    async def reconcile(self, jobs: Sequence[EndedJob]) -> Mapping[str, Reconciliation]:
        """Return the results by job id; jobs without a result must be reconciled again later.

        Raises:
            TrackingUnavailable: MLflow does not answer, and no job was reconciled before that.
        """
        async with self._lock:
            return await self._reconcile(jobs) if jobs else {}

    async def _reconcile(self, jobs: Sequence[EndedJob]) -> Mapping[str, Reconciliation]:
        try:
            runs = await find_runs(self._gateway, self._server_id, jobs)
        except (ResponseTooLarge, TrackingNotFound, TrackingRejected) as error:
            if len(jobs) > 1:
                # one job's runs are too large, or this MLflow does not support the search
                return await self._reconcile_separately(jobs)
            return self._give_up(jobs[0], error)
        return await _Batch(self._gateway, runs).reconcile(jobs)

    async def _reconcile_separately(self, jobs: Sequence[EndedJob]) -> Mapping[str, Reconciliation]:
        results: dict[str, Reconciliation] = {}
        for job in jobs:
            try:
                results |= await self._reconcile([job])
            except TrackingUnavailable:
                if not results:
                    raise
                break
        return results

    def _give_up(self, job: EndedJob, error: AsgardError) -> Mapping[str, Reconciliation]:
        if not isinstance(error, ResponseTooLarge):
            # the request contains nothing from the job, so the administrator must fix this
            raise TrackingUnavailable(f"MLflow refuses to list its runs: {error}") from error
        logger.warning("runs cannot be read: %s", error, extra={"job_id": job.job_id})
        problem = f"The runs of this job cannot be read. {error}"
        return {job.job_id: Reconciliation(tracking=JobTracking(), problem=problem)}


class _Batch:
    """The reconciliation of several jobs whose runs were found by one search."""

    def __init__(self, gateway: MlflowGateway, runs: Mapping[str, list[FoundRun]]) -> None:
        self._gateway = gateway
        self._runs = runs
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_JOBS)
        self._versions: Sequence[ModelVersion] | None = None
        self._results: dict[str, Reconciliation] = {}
        self._outage: TrackingUnavailable | None = None

    async def reconcile(self, jobs: Sequence[EndedJob]) -> Mapping[str, Reconciliation]:
        run_ids = [run_id for job in jobs if job.completed for run_id in self._latest_runs(job)]
        # if MLflow refuses this search, each job searches separately and reports its own error
        with contextlib.suppress(AsgardError):
            self._versions = await versions_from(self._gateway, run_ids)
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(self._reconcile_job(job))
        if self._outage is not None and not self._results:
            raise self._outage
        return self._results

    async def _reconcile_job(self, job: EndedJob) -> None:
        async with self._semaphore:
            if self._outage is not None:
                return  # every further request would run into its timeout
            try:
                self._results[job.job_id] = await self._record(job)
            except TrackingUnavailable as error:
                if not isinstance(error, MlflowInternalError):
                    self._outage = error
                logger.warning("not recorded yet: %s", error, extra={"job_id": job.job_id})

    async def _record(self, job: EndedJob) -> Reconciliation:
        runs = await end_open_runs(self._gateway, job, self._runs.get(job.job_id, []))
        latest = self._latest_runs(job)
        run = job_run([run for run in runs if run.run_id in latest])
        if run is None:
            return Reconciliation(tracking=JobTracking(runs=runs))
        version = problem = None
        if len(runs) >= MAX_RUNS:
            problem = f"This job has {MAX_RUNS} runs or more; only the newest are listed."
        if job.completed:
            try:
                versions = await self._versions_from(latest)
                version = await register_for_job(self._gateway, job, run, versions)
            except (TrackingNotFound, TrackingRejected) as error:
                problem = f"The model was not registered: {error}"
                logger.warning("%s", problem, extra={"job_id": job.job_id})
        tracking = JobTracking(run_id=run.run_id, model_version=version, runs=runs)
        return Reconciliation(tracking=tracking, problem=problem)

    def _latest_runs(self, job: EndedJob) -> frozenset[str]:
        return runs_of_attempt(self._runs.get(job.job_id, []), job.attempt)

    async def _versions_from(self, run_ids: Collection[str]) -> Sequence[ModelVersion]:
        if self._versions is None:
            return await versions_from(self._gateway, sorted(run_ids))
        return [version for version in self._versions if version.run_id in run_ids]
