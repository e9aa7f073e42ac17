"""The models that a job logged, and the choice of the one that is registered."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from asgard_async.domain.errors import TrackingNotFound
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import EndpointMissing, MlflowRefused
from asgard_async.mlflow.registration import READY, ModelSource, find_model_directory
from asgard_async.mlflow.runs import EXPERIMENTS_PER_SEARCH, PARENT_TAG, EndedJob, FoundRun
from asgard_async.mlflow.server.tags import ATTEMPT_TAG, JOB_TAG, OWN_TAGS, SERVER_TAG
from asgard_async.mlflow.wire import LoggedModel

MAX_MODELS = 1000
"""Models of one job that are considered, the newest of each search."""
MAX_RUNS_SEARCHED = 20
"""Runs of a job in which models without tags are sought, the newest top-level ones first."""
LONGEST_NAME = 100
NO_MODEL = "No model was registered: the script logged none."


@dataclass(frozen=True, kw_only=True)
class LoggedByJob:
    """A logged model, without what is not needed of it."""

    model_id: str
    name: str
    is_ready: bool
    run_id: str
    """Empty for a model that was logged without a run."""


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """The model to register, and what it was chosen from."""

    source: ModelSource
    run_id: str = ""
    explanation: str | None = None
    """A sentence for users; None if there was no choice."""


async def choose_model(
    gateway: MlflowGateway,
    job: EndedJob,
    runs: Sequence[FoundRun],
    *,
    server_id: str,
    experiment_ids: Sequence[str],
) -> ModelChoice | str:
    """Choose among the complete models of a job: the newest of a top-level run, else the newest.

    `runs` are those of the last attempt. Return a sentence with the reason if there is no model.
    """
    models = await _tagged(gateway, job, server_id, experiment_ids)
    searched = _in_order(runs)
    if not models:
        models = await _models_of_runs(gateway, job, searched)
    ready = [model for model in models if model.is_ready]
    if ready:
        return _choose(ready, runs)
    for run in searched:
        # an earlier job may have left the files of a resumed run
        if run.is_created and (source := await find_model_directory(gateway, run.info.run_id)):
            return ModelChoice(source=source, run_id=run.info.run_id)
    if models:
        return "No model was registered: the logging of each was interrupted or failed."
    return NO_MODEL


def _choose(models: Sequence[LoggedByJob], runs: Sequence[FoundRun]) -> ModelChoice:
    run_ids = {run.info.run_id for run in runs}
    top_level = {run.info.run_id for run in runs if run.tags.get(PARENT_TAG) not in run_ids}
    of_top_level = [model for model in models if model.run_id in top_level]
    model = (of_top_level or models)[0]
    explanation = None
    if len(models) > 1:
        origin = f"of run {model.run_id}" if model.run_id else "logged without a run"
        rule = "the newest of a top-level run" if of_top_level else "the newest"
        name = model.name[:LONGEST_NAME]
        explanation = f'Of {len(models)} models, {rule} was registered: "{name}" {origin}.'
    return ModelChoice(
        source=ModelSource(uri=f"models:/{model.model_id}", model_id=model.model_id),
        run_id=model.run_id,
        explanation=explanation,
    )


async def _tagged(
    gateway: MlflowGateway, job: EndedJob, server_id: str, experiment_ids: Sequence[str]
) -> list[LoggedByJob]:
    """Return the models that carry the tags of a job's last attempt, the newest first."""
    expected = {JOB_TAG: job.job_id, ATTEMPT_TAG: str(job.attempt), SERVER_TAG: server_id}
    filter_text = f"tags.`{JOB_TAG}` = '{job.job_id}'"
    models: list[LoggedByJob] = []
    try:
        for first in range(0, len(experiment_ids), EXPERIMENTS_PER_SEARCH):
            chunk = experiment_ids[first : first + EXPERIMENTS_PER_SEARCH]
            models += [
                _reduced(model)
                async for model in _first(gateway.logged_models(chunk, filter_text))
                if model.selected_tags(OWN_TAGS) == expected
            ]
    except (EndpointMissing, MlflowRefused):
        return []  # an older MLflow, whose models are found by their run
    return models


async def _models_of_runs(
    gateway: MlflowGateway, job: EndedJob, runs: Sequence[FoundRun]
) -> list[LoggedByJob]:
    """Return the models without tags, as a client other than MLflow's may log them."""
    models: list[LoggedByJob] = []
    try:
        for run in runs:
            if not run.is_created:
                continue
            logged = gateway.logged_models_of(run.info.run_id, run.info.experiment_id)
            models += [
                _reduced(model)
                async for model in _first(logged)
                if model.selected_tags({JOB_TAG}).get(JOB_TAG, job.job_id) == job.job_id
            ]
    except (EndpointMissing, TrackingNotFound):
        pass  # MLflow 2 logs models as artifacts
    return models


async def _first(models: AsyncIterator[LoggedModel]) -> AsyncIterator[LoggedModel]:
    count = 0
    async for model in models:
        yield model
        if (count := count + 1) == MAX_MODELS:
            return


def _reduced(model: LoggedModel) -> LoggedByJob:
    return LoggedByJob(
        model_id=model.info.model_id,
        name=model.info.name,
        is_ready=model.info.status == READY,
        run_id=model.info.source_run_id or "",
    )


def _in_order(runs: Sequence[FoundRun]) -> list[FoundRun]:
    """Return the newest runs, top-level ones first."""
    newest_first = sorted(
        runs,
        key=lambda run: (
            PARENT_TAG not in run.tags,
            run.info.end_time or 0,
            run.info.start_time or 0,
            run.info.run_id,
        ),
        reverse=True,
    )
    return newest_first[:MAX_RUNS_SEARCHED]
