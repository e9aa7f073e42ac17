"""Settles ended jobs with MLflow: finds their runs, ends what is open, registers their models."""

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
from asgard_async.mlflow.refusals import AnswerTooLarge, MlflowInternalError
from asgard_async.mlflow.registration import register_for_job, versions_from
from asgard_async.mlflow.runs import (
    EndedJob,
    end_open_runs,
    find_runs,
    job_run,
    runs_of_attempt,
)
from asgard_async.mlflow.wire import ModelVersion, Run

logger = logging.getLogger(__name__)

PARALLEL_JOBS = 4


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What came of a job. It is final: asking again would give the same."""

    tracking: JobTracking
    problem: str | None = None
    """Why something of it could not be recorded, in a sentence for a person."""


class RunReconciler:
    """Settles jobs as often as asked, with the same result and nothing made twice."""

    def __init__(self, gateway: MlflowGateway, *, server_id: str) -> None:
        self._gateway = gateway
        self._server_id = server_id
        # two calls for one job at once would both see that it has no version yet
        self._one_at_a_time = asyncio.Lock()

    async def settle(self, ended: Sequence[EndedJob]) -> Mapping[str, Settled]:
        """What MLflow knows of each job; one that is missing in the result is to be asked again.

        Raises:
            TrackingUnavailable: MLflow does not answer, and none could be settled before that.
        """
        async with self._one_at_a_time:
            return await self._settle(ended) if ended else {}

    async def _settle(self, ended: Sequence[EndedJob]) -> Mapping[str, Settled]:
        try:
            runs = await find_runs(self._gateway, self._server_id, ended)
        except (AnswerTooLarge, TrackingNotFound, TrackingRejected) as error:
            if len(ended) > 1:
                # one job's runs are too large, or this MLflow does not understand the search
                return await self._settle_apart(ended)
            return self._give_up(ended[0], error)
        return await _Round(self._gateway, runs).settle(ended)

    async def _settle_apart(self, ended: Sequence[EndedJob]) -> Mapping[str, Settled]:
        settled: dict[str, Settled] = {}
        for job in ended:
            try:
                settled |= await self._settle([job])
            except TrackingUnavailable:
                if not settled:
                    raise
                break
        return settled

    def _give_up(self, job: EndedJob, error: AsgardError) -> Mapping[str, Settled]:
        if not isinstance(error, AnswerTooLarge):
            # nothing in the request is the job's own, so it is for the administrator to mend
            raise TrackingUnavailable(f"MLflow refuses to tell its runs: {error}") from error
        logger.warning("Runs cannot be read: %s", error, extra={"job_id": job.job_id})
        problem = f"The runs of this job cannot be read. {error}"
        return {job.job_id: Settled(tracking=JobTracking(), problem=problem)}


class _Round:
    """One pass over the jobs, with the runs found for it."""

    def __init__(self, gateway: MlflowGateway, runs: Mapping[str, list[Run]]) -> None:
        self._gateway = gateway
        self._runs = runs
        self._places = asyncio.Semaphore(PARALLEL_JOBS)
        self._versions: Sequence[ModelVersion] | None = None
        self._settled: dict[str, Settled] = {}
        self._outage: TrackingUnavailable | None = None

    async def settle(self, ended: Sequence[EndedJob]) -> Mapping[str, Settled]:
        run_ids = [run_id for job in ended if job.completed for run_id in self._latest(job)]
        # where that is refused each job is asked about by itself, and told of its own refusal
        with contextlib.suppress(AsgardError):
            self._versions = await versions_from(self._gateway, run_ids)
        async with asyncio.TaskGroup() as group:
            for job in ended:
                group.create_task(self._settle_one(job))
        if self._outage is not None and not self._settled:
            raise self._outage
        return self._settled

    async def _settle_one(self, job: EndedJob) -> None:
        async with self._places:
            if self._outage is not None:
                return  # every further request would wait for its timeout
            try:
                self._settled[job.job_id] = await self._record(job)
            except TrackingUnavailable as error:
                if not isinstance(error, MlflowInternalError):
                    self._outage = error
                logger.warning("Not recorded yet: %s", error, extra={"job_id": job.job_id})

    async def _record(self, job: EndedJob) -> Settled:
        runs = await end_open_runs(self._gateway, job, self._runs.get(job.job_id, []))
        latest = self._latest(job)
        run = job_run([run for run in runs if run.run_id in latest])
        if run is None:
            return Settled(tracking=JobTracking(runs=runs))
        version = problem = None
        if job.completed:
            try:
                made = await self._versions_from(latest)
                version = await register_for_job(self._gateway, job, run, made)
            except (TrackingNotFound, TrackingRejected) as error:
                problem = f"The model was not registered: {error}"
                logger.warning("%s", problem, extra={"job_id": job.job_id})
        tracking = JobTracking(run_id=run.run_id, model_version=version, runs=runs)
        return Settled(tracking=tracking, problem=problem)

    def _latest(self, job: EndedJob) -> frozenset[str]:
        return runs_of_attempt(self._runs.get(job.job_id, []), job.attempt)

    async def _versions_from(self, run_ids: Collection[str]) -> Sequence[ModelVersion]:
        if self._versions is None:
            return await versions_from(self._gateway, sorted(run_ids))
        return [version for version in self._versions if version.run_id in run_ids]
