"""The MLflow runs of a job, and the choice of the job's run among them."""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asgard_async.domain.errors import TrackingNotFound, TrackingRejected
from asgard_async.domain.job import JobRun
from asgard_async.domain.status import Reason
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.job_variables import ATTEMPT_TAG, JOB_TAG, SERVER_TAG
from asgard_async.mlflow.refusals import ResponseTooLarge
from asgard_async.mlflow.wire import MlflowRunStatus, Run, RunInfo

logger = logging.getLogger(__name__)

PAGE_SIZE = 100
MAX_RUNS = 1000
"""Runs of one job that are listed, the newest."""
MAX_RUNS_PER_SEARCH = 5000
"""Runs in memory at a time; beyond that, jobs are looked up one by one."""
EXPERIMENTS_PER_SEARCH = 1000
CLOCK_MARGIN = timedelta(minutes=5)
"""Tolerance for runs that seem older than their job's script because the clock was set back."""
PARENT_TAG = "mlflow.parentRunId"
TAGS = frozenset({JOB_TAG, ATTEMPT_TAG, PARENT_TAG})
"""The only tags that are kept: a run may have any number."""
OPEN_STATES = frozenset({MlflowRunStatus.RUNNING, MlflowRunStatus.SCHEDULED})


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A run of a job, with Asgard's own tags alone."""

    info: RunInfo
    tags: Mapping[str, str]

    @classmethod
    def of(cls, run: Run) -> "FoundRun":
        return cls(info=run.info, tags=run.selected_tags(TAGS))


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """The data of an ended job that is needed to find its runs and register its model."""

    job_id: str
    attempt: int
    """The last attempt; runs of earlier attempts are listed but cannot be the job's run."""
    reason: Reason
    started_at: datetime
    """The start of its first attempt, or any earlier time."""
    ended_at: datetime
    model_name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """The user's tags for the model version."""
    may_be_registered: bool = True
    """True if an earlier reconciliation may have registered the model, which must then be
    checked."""

    @property
    def completed(self) -> bool:
        return self.reason is Reason.SUCCEEDED


async def find_runs(
    gateway: MlflowGateway, server_id: str, jobs: Sequence[EndedJob]
) -> dict[str, list[FoundRun]]:
    """Find the runs of each job that are not deleted, with one search for all jobs.

    Of a job with too many runs, find MAX_RUNS, the newest of each search.

    Raises:
        ResponseTooLarge: together, these jobs have too many runs.
    """
    job_ids = {job.job_id for job in jobs}
    runs: dict[str, list[FoundRun]] = defaultdict(list)
    found = 0
    filter_text = _filter(server_id, jobs)
    # MLflow requires experiment_ids, and a script may have chosen its own experiment
    experiment_ids = await gateway.active_experiment_ids()
    for first in range(0, len(experiment_ids), EXPERIMENTS_PER_SEARCH):
        chunk = experiment_ids[first : first + EXPERIMENTS_PER_SEARCH]
        async for run in _search(gateway, chunk, filter_text):
            if (job_id := run.tags.get(JOB_TAG, "")) not in job_ids:
                continue
            if len(runs[job_id]) < MAX_RUNS:
                runs[job_id].append(run)
            elif len(jobs) == 1:
                return runs
            found += 1
            if found > MAX_RUNS_PER_SEARCH:
                raise ResponseTooLarge(f"MLflow lists more than {MAX_RUNS_PER_SEARCH} runs")
    return runs


def _filter(server_id: str, jobs: Sequence[EndedJob]) -> str:
    server = f"tags.`{SERVER_TAG}` = '{server_id}'"
    if len(jobs) == 1:
        return f"{server} AND tags.`{JOB_TAG}` = '{jobs[0].job_id}'"
    # MLflow does not support IN for tags
    since = _milliseconds(min(job.started_at for job in jobs) - CLOCK_MARGIN)
    return f"{server} AND tags.`{JOB_TAG}` IS NOT NULL AND attributes.start_time > {since}"


async def _search(
    gateway: MlflowGateway, experiment_ids: Sequence[str], filter_text: str
) -> AsyncIterator[FoundRun]:
    """Yield the results of a search, using smaller pages if a response is too large."""
    token, size = "", PAGE_SIZE
    while True:
        try:
            page = await gateway.search_runs(
                experiment_ids, filter_text, max_results=size, page_token=token
            )
        except ResponseTooLarge:
            if size == 1:
                raise
            size = max(1, size // 8)  # the page token is an offset, valid for any page size
            continue
        token = page.next_page_token
        runs = [FoundRun.of(run) for run in page.runs]
        del page  # it refers to the whole response
        for run in runs:
            yield run
        if not token:
            return


async def end_open_runs(
    gateway: MlflowGateway, job: EndedJob, runs: Sequence[FoundRun]
) -> tuple[JobRun, ...]:
    """End the runs that a job left open, and return all its runs in the order of their start."""
    ended_runs = []
    for run in sorted(runs, key=lambda run: (run.info.start_time or 0, run.info.run_id)):
        info = run.info
        if info.status in OPEN_STATES:
            end_ms = max(_milliseconds(job.ended_at), info.start_time or 0)
            try:
                info = await gateway.end_run(info.run_id, final_status(job.reason), end_ms)
            except (TrackingNotFound, TrackingRejected) as error:
                # most likely, the run has just been deleted
                logger.warning(
                    "run %s cannot be ended: %s", info.run_id, error, extra={"job_id": job.job_id}
                )
        ended_runs.append(
            JobRun(
                run_id=info.run_id,
                experiment_id=info.experiment_id,
                name=info.run_name,
                status=info.status,
                started_at=_moment(info.start_time),
                ended_at=_moment(info.end_time),
                parent_run_id=run.tags.get(PARENT_TAG),
            )
        )
    return tuple(ended_runs)


def final_status(reason: Reason) -> MlflowRunStatus:
    """Return the final status of a run that was still open when its job ended for `reason`."""
    if reason is Reason.SUCCEEDED:
        return MlflowRunStatus.FINISHED
    if reason is Reason.EXIT_CODE:
        return MlflowRunStatus.FAILED
    return MlflowRunStatus.KILLED


def runs_of_attempt(runs: Sequence[FoundRun], attempt: int) -> frozenset[str]:
    """Return the ids of the runs that an attempt created."""
    return frozenset(run.info.run_id for run in runs if run.tags.get(ATTEMPT_TAG) == str(attempt))


def job_run(runs: Sequence[JobRun]) -> JobRun | None:
    """Return the run that ended last, whatever its status; a top-level run wins a tie."""
    return max(
        runs,
        key=lambda run: (
            run.ended_at or datetime.max.replace(tzinfo=UTC),
            run.parent_run_id is None,
            run.started_at or datetime.min.replace(tzinfo=UTC),
            run.run_id,
        ),
        default=None,
    )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
