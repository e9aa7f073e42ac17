"""The MLflow runs that carry the tags of a job, and the choice of the job's run among all its runs.

See `resumed_runs` for runs that a job did not create.
"""

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asgard_async.domain.errors import TrackingNotFound, TrackingRejected
from asgard_async.domain.job import JobRun
from asgard_async.domain.status import Reason
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import ResponseTooLarge
from asgard_async.mlflow.server.tags import ATTEMPT_TAG, JOB_TAG, SERVER_TAG
from asgard_async.mlflow.wire import MlflowRunStatus, ModelVersion, Run, RunInfo

logger = logging.getLogger(__name__)

PAGE_SIZE = 100
MAX_RUNS = 1000
"""Runs of one job that are listed, the newest."""
MAX_RUNS_PER_SEARCH = 5000
"""Runs in memory at a time; beyond that, jobs are looked up one by one."""
EXPERIMENTS_PER_SEARCH = 1000
RUNS_WITH_METRICS = 100
"""Runs of a search whose metrics are kept."""
CLOCK_MARGIN = timedelta(minutes=5)
"""Tolerance for runs that seem older than their job's script because the clock was set back."""
PARENT_TAG = "mlflow.parentRunId"
TAGS = frozenset({JOB_TAG, ATTEMPT_TAG, PARENT_TAG})
"""The only tags that are kept: a run may have any number."""
OPEN_STATES = frozenset({MlflowRunStatus.RUNNING, MlflowRunStatus.SCHEDULED})
EXIT = timedelta(seconds=1)
"""Time before the end of a script's process in which MLflow's exit handler ends its open run."""


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A run of a job, with Asgard's own tags alone."""

    info: RunInfo
    tags: Mapping[str, str]
    attempt: int
    """The attempt that created the run, or the last one that wrote to it."""
    is_created: bool = True
    """False if another job or a person created the run."""
    metrics: Mapping[str, float | None] | None = None
    """The last values of its metrics; None if they were not kept."""
    is_own: bool = True
    """True if the job created or resumed the run; other runs are not ended with the job."""

    @classmethod
    def of(cls, run: Run, *, keeps_metrics: bool = True) -> "FoundRun":
        """The run as its tags describe it."""
        tags = run.selected_tags(TAGS)
        attempt = tags.get(ATTEMPT_TAG, "")
        return cls(
            info=run.info,
            tags=tags,
            attempt=int(attempt) if attempt.isdecimal() else 0,
            metrics=run.first_metrics() if keeps_metrics else None,
        )


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """The data of an ended job that is needed to find its runs and register its model."""

    job_id: str
    owner: str = ""
    attempt: int
    """The last attempt; runs of earlier attempts are listed but cannot be the job's run."""
    resumes: str | None = None
    """The run that the job was submitted to resume (MLFLOW_RUN_ID)."""
    uses_tracking: bool = True
    """False if the script cannot log models: it imports only the standard library."""
    ended_at_exit: Collection[str] | None = None
    """The runs that MLflow's exit handler ended according to the output; None if unknown."""
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
    gateway: MlflowGateway, server_id: str, jobs: Sequence[EndedJob], experiment_ids: Sequence[str]
) -> dict[str, list[FoundRun]]:
    """Find the runs that each job created in these experiments, with one search for all jobs.

    Deleted runs are left out.

    Of a job with too many runs, find MAX_RUNS, the newest of each search.

    Raises:
        ResponseTooLarge: together, these jobs have too many runs.
    """
    job_ids = {job.job_id for job in jobs}
    runs: dict[str, list[FoundRun]] = defaultdict(list)
    found = 0
    filter_text = _filter(server_id, jobs)
    async for run in search(gateway, experiment_ids, filter_text):
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


async def search(
    gateway: MlflowGateway, experiment_ids: Sequence[str], filter_text: str
) -> AsyncIterator[FoundRun]:
    """Yield the runs in these experiments that match a filter."""
    for first in range(0, len(experiment_ids), EXPERIMENTS_PER_SEARCH):
        chunk = experiment_ids[first : first + EXPERIMENTS_PER_SEARCH]
        async for run in _search(gateway, chunk, filter_text):
            yield run


async def _search(
    gateway: MlflowGateway, experiment_ids: Sequence[str], filter_text: str
) -> AsyncIterator[FoundRun]:
    """Yield the results of a search, using smaller pages if a response is too large."""
    token, size, count = "", PAGE_SIZE, 0
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
        runs = [
            FoundRun.of(run, keeps_metrics=number < RUNS_WITH_METRICS)
            for number, run in enumerate(page.runs, count)
        ]
        count += len(runs)
        del page  # it refers to the whole response
        for run in runs:
            yield run
        if not token:
            return


async def end_open_runs(
    gateway: MlflowGateway, job: EndedJob, runs: Sequence[FoundRun]
) -> tuple[JobRun, ...]:
    """End the runs that a job left open, and return all its runs in the order of their start.

    Runs that only MLflow's exit handler ended were left open as well: they get the job's status.
    """
    ended_at_exit = _ended_at_exit(job, runs)
    ended_runs = []
    for run in sorted(runs, key=lambda run: (run.info.start_time or 0, run.info.run_id)):
        info = run.info
        end_ms = None
        if info.status in OPEN_STATES and run.is_own:
            end_ms = max(_milliseconds(job.ended_at), info.start_time or 0)
        elif info.run_id in ended_at_exit:
            end_ms = info.end_time
        if end_ms is not None:
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


def _ended_at_exit(job: EndedJob, runs: Sequence[FoundRun]) -> frozenset[str]:
    """Return the runs that MLflow's exit handler ended as FINISHED although the job failed.

    The handler names them in the output, after the traceback. If the output does not tell, it is
    the newest top-level run that ended while the process exited.
    """
    if job.completed:
        return frozenset()
    finished = [
        run
        for run in runs
        if run.is_own and run.attempt == job.attempt and run.info.status == MlflowRunStatus.FINISHED
    ]
    if job.ended_at_exit is not None:
        return frozenset(run.info.run_id for run in finished) & frozenset(job.ended_at_exit)
    if job.reason is not Reason.EXIT_CODE:
        return frozenset()  # after a signal there is no handler
    since = _milliseconds(job.ended_at - EXIT)
    newest = max(
        (run for run in finished if PARENT_TAG not in run.tags),
        key=lambda run: (run.info.end_time or 0, run.info.start_time or 0),
        default=None,
    )
    if newest is None or (newest.info.end_time or 0) < since:
        return frozenset()
    return frozenset({newest.info.run_id})


def final_status(reason: Reason) -> MlflowRunStatus:
    """Return the final status of a run that was still open when its job ended for `reason`."""
    if reason is Reason.SUCCEEDED:
        return MlflowRunStatus.FINISHED
    if reason is Reason.EXIT_CODE:
        return MlflowRunStatus.FAILED
    return MlflowRunStatus.KILLED


def runs_of_attempt(runs: Sequence[FoundRun], attempt: int) -> list[FoundRun]:
    """Return the runs that an attempt created or resumed; without any, those it wrote to."""
    latest = [run for run in runs if run.attempt == attempt]
    return [run for run in latest if run.is_own] or latest


def job_run(runs: Sequence[JobRun], *, left_open_since: datetime | None = None) -> JobRun | None:
    """Return the top-level run that ended last; a nested one only if there are no others.

    Runs that ended at `left_open_since` or later were ended with the job. They count only if there
    are no others: a thread may have opened them and forgotten them.
    """
    run_ids = {run.run_id for run in runs}

    def preference(run: JobRun) -> tuple[bool, bool, datetime, datetime, str]:
        end = run.ended_at or datetime.max.replace(tzinfo=UTC)
        return (
            run.parent_run_id not in run_ids,
            left_open_since is None or end < left_open_since,
            end,
            run.started_at or datetime.min.replace(tzinfo=UTC),
            run.run_id,
        )

    return max(runs, key=preference, default=None)


def may_have_made(job: EndedJob, run: FoundRun, version: ModelVersion) -> bool:
    """Return whether a version of a run's model may be the job's; others may use the run too."""
    creator = next((tag.value for tag in version.tags if tag.key == JOB_TAG), None)
    if creator is not None:
        return creator == job.job_id
    return run.is_created or version.creation_timestamp >= _milliseconds(job.started_at)


def floor_to_milliseconds(moment: datetime) -> datetime:
    """Return a time as precisely as MLflow stores it."""
    return datetime.fromtimestamp(_milliseconds(moment) / 1000, UTC)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _moment(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
