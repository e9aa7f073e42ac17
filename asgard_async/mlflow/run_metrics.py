"""The metrics of a job's run, among all its runs."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from asgard_async.domain.errors import TrackingNotFound, TrackingRejected
from asgard_async.domain.job import JobRun
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import ResponseTooLarge
from asgard_async.mlflow.runs import FoundRun

logger = logging.getLogger(__name__)


async def with_metrics(
    gateway: MlflowGateway, runs: Sequence[JobRun], found: Sequence[FoundRun], run_id: str | None
) -> tuple[JobRun, ...]:
    """Return the runs of a job, with the metrics of the run `run_id`."""
    run = next((run for run in found if run.info.run_id == run_id), None)
    if run is None:
        return tuple(runs)
    metrics = run.metrics
    if metrics is None:
        try:
            metrics = (await gateway.get_run(run.info.run_id)).first_metrics()
        except (ResponseTooLarge, TrackingNotFound, TrackingRejected) as error:
            logger.warning("the metrics of run %s cannot be read: %s", run_id, error)
            return tuple(runs)
    return tuple(replace(one, metrics=metrics) if one.run_id == run_id else one for one in runs)
