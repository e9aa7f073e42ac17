"""The runs that a job wrote to and did not create, such as resumed ones.

Asgard's embedded server notes them. With another server, only the run named by MLFLOW_RUN_ID in the
job's environment_vars is known.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from asgard_async.domain.errors import TrackingNotFound, TrackingRejected
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import EndpointMissing
from asgard_async.mlflow.runs import EndedJob, FoundRun, search
from asgard_async.mlflow.wire import WrittenRun

RUN_ID = re.compile(r"[0-9a-f]{32}")
RUNS_PER_SEARCH = 100


async def add_resumed_runs(
    gateway: MlflowGateway,
    jobs: Sequence[EndedJob],
    runs: dict[str, list[FoundRun]],
    experiment_ids: Sequence[str],
) -> None:
    """Add the runs of each job that it did not create and that are not deleted."""
    if not gateway.address.is_service_only:
        for job in jobs:
            await _add_named_run(gateway, job, runs)
        return
    try:
        written = await gateway.written_runs([job.job_id for job in jobs])
    except EndpointMissing:
        return  # a server that was started by an earlier version of Asgard
    others = [one for one in written if not _is_known(one, runs)]
    found = await _find(gateway, sorted({one.run_id for one in others}), experiment_ids)
    for one in others:
        if (run := found.get(one.run_id)) is not None:
            runs.setdefault(one.job_id, []).append(
                replace(run, attempt=one.attempt, is_created=False, is_own=one.opened)
            )


def _is_known(written: WrittenRun, runs: dict[str, list[FoundRun]]) -> bool:
    """Return whether a job created the run; if so, note that a later attempt wrote to it."""
    created = runs.get(written.job_id, [])
    for index, run in enumerate(created):
        if run.info.run_id == written.run_id:
            created[index] = replace(run, attempt=max(run.attempt, written.attempt))
            return True
    return False


async def _find(
    gateway: MlflowGateway, run_ids: Sequence[str], experiment_ids: Sequence[str]
) -> Mapping[str, FoundRun]:
    found: dict[str, FoundRun] = {}
    for first in range(0, len(run_ids), RUNS_PER_SEARCH):
        ids = ", ".join(f"'{run_id}'" for run_id in run_ids[first : first + RUNS_PER_SEARCH])
        async for run in search(gateway, experiment_ids, f"attributes.run_id IN ({ids})"):
            found[run.info.run_id] = run
    return found


async def _add_named_run(
    gateway: MlflowGateway, job: EndedJob, runs: dict[str, list[FoundRun]]
) -> None:
    # only MLflow's own ids: the variable may contain anything
    if not job.uses_tracking or job.resumes is None or not RUN_ID.fullmatch(job.resumes):
        return
    if any(run.info.run_id == job.resumes for run in runs.get(job.job_id, [])):
        return
    try:
        run = FoundRun.of(await gateway.get_run(job.resumes))
    except (TrackingNotFound, TrackingRejected):
        return
    if run.info.lifecycle_stage == "active":
        run = replace(run, attempt=job.attempt, is_created=False)
        runs.setdefault(job.job_id, []).append(run)
