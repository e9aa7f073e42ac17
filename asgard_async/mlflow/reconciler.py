"""Reconciliation of ended jobs with MLflow: find runs, end open ones, register models."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asgard_async.domain.errors import (
    AsgardError,
    TrackingNotFound,
    TrackingRejected,
    TrackingUnavailable,
)
from asgard_async.domain.job import JobTracking
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.logged_models import choose_model
from asgard_async.mlflow.refusals import MlflowInternalError, ResponseTooLarge
from asgard_async.mlflow.registration import newest, register_for_job, versions_from
from asgard_async.mlflow.resumed_runs import add_resumed_runs
from asgard_async.mlflow.run_metrics import with_metrics
from asgard_async.mlflow.runs import (
    MAX_RUNS,
    EndedJob,
    FoundRun,
    end_open_runs,
    find_runs,
    floor_to_milliseconds,
    job_run,
    may_have_made,
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
    choice: str | None = None
    """Which of several models was registered, or why none was, as a sentence for users."""


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
            # MLflow requires experiment_ids, and a script may have chosen its own experiment
            experiment_ids = await self._gateway.active_experiment_ids()
            runs = await find_runs(self._gateway, self._server_id, jobs, experiment_ids)
            await add_resumed_runs(self._gateway, jobs, runs, experiment_ids)
        except (ResponseTooLarge, TrackingNotFound, TrackingRejected) as error:
            if len(jobs) > 1:
                # one job's runs are too large, or this MLflow does not support the search
                return await self._reconcile_separately(jobs)
            return self._give_up(jobs[0], error)
        batch = _Batch(self._gateway, self._server_id, experiment_ids, runs)
        return await batch.reconcile(jobs)

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

    def __init__(
        self,
        gateway: MlflowGateway,
        server_id: str,
        experiment_ids: Sequence[str],
        runs: Mapping[str, list[FoundRun]],
    ) -> None:
        self._gateway = gateway
        self._server_id = server_id
        self._experiment_ids = experiment_ids
        self._runs = runs
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_JOBS)
        self._versions: Sequence[ModelVersion] | None = None
        self._results: dict[str, Reconciliation] = {}
        self._outage: TrackingUnavailable | None = None

    async def reconcile(self, jobs: Sequence[EndedJob]) -> Mapping[str, Reconciliation]:
        run_ids = sorted(
            {run.info.run_id for job in jobs if job.completed for run in self._latest_runs(job)}
        )
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
        found = self._runs.get(job.job_id, [])
        runs = await end_open_runs(self._gateway, job, found)
        latest = {run.info.run_id for run in self._latest_runs(job)}
        # of a job that was cut off, the run that was open is the one to look at
        left_open_since = floor_to_milliseconds(job.ended_at) if job.completed else None
        candidates = [run for run in runs if run.run_id in latest]
        run = job_run(candidates, left_open_since=left_open_since)
        run_id = run.run_id if run is not None else None
        version = problem = choice = None
        if len(runs) >= MAX_RUNS:
            problem = f"This job has {MAX_RUNS} runs or more; only the newest are listed."
        if job.completed and (found or job.uses_tracking):
            try:
                version, model_run_id, choice = await self._register(job)
                run_id = model_run_id or run_id
            except (TrackingNotFound, TrackingRejected) as error:
                problem = f"The model was not registered: {error}"
                logger.warning("%s", problem, extra={"job_id": job.job_id})
        runs = await with_metrics(self._gateway, runs, found, run_id)
        tracking = JobTracking(run_id=run_id, model_version=version, runs=runs)
        return Reconciliation(tracking=tracking, problem=problem, choice=choice)

    async def _register(self, job: EndedJob) -> tuple[str | None, str, str | None]:
        """Return the version of the job's model, the model's run, and a sentence on the choice."""
        runs = self._latest_runs(job)
        by_script = await self._versions_by_script(job, runs)
        chosen = await choose_model(
            self._gateway,
            job,
            runs,
            server_id=self._server_id,
            experiment_ids=self._experiment_ids,
        )
        if isinstance(chosen, str):
            if (version := newest(by_script)) is None:
                return None, "", chosen
            return version.version, version.run_id, None
        number = await register_for_job(
            # with the owner's rights, since names of models belong to owners, too
            self._gateway.for_owner(job.owner),
            job,
            chosen.source,
            chosen.run_id,
            by_script,
        )
        return number, chosen.run_id, chosen.explanation

    def _latest_runs(self, job: EndedJob) -> list[FoundRun]:
        return runs_of_attempt(self._runs.get(job.job_id, []), job.attempt)

    async def _versions_by_script(
        self, job: EndedJob, runs: Sequence[FoundRun]
    ) -> list[ModelVersion]:
        """Return the versions of the job's model that were created from any of its runs."""
        by_id = {run.info.run_id: run for run in runs}
        versions = self._versions
        if versions is None:
            versions = await versions_from(self._gateway, sorted(by_id))
        return [
            version
            for version in versions
            if version.name == job.model_name
            and (run := by_id.get(version.run_id)) is not None
            and may_have_made(job, run, version)
        ]
