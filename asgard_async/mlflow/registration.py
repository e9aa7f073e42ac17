"""Registration of the model that a run logged, as a version of a registered model."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asgard_async.domain.errors import TrackingNotFound, TrackingRejected
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import ALREADY_EXISTS, DENIED, EndpointMissing, MlflowRefused
from asgard_async.mlflow.runs import EndedJob
from asgard_async.mlflow.server.tags import JOB_TAG
from asgard_async.mlflow.wire import ModelVersion

READY = "LOGGED_MODEL_READY"
MODEL_FILE = "MLmodel"
MAX_DIRECTORIES = 20
RUNS_PER_SEARCH = 100  # limited because the ids are part of a URL


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """The location of a run's model, as a URI for MLflow."""

    uri: str
    model_id: str | None = None
    """The id of a logged model; MLflow requires it to match the URI."""


async def find_source(
    gateway: MlflowGateway, run_id: str, experiment_id: str
) -> ModelSource | None:
    """Return the newest completely logged model of a run, or None.

    `run_id` must be an id issued by MLflow.
    """
    try:
        async for model in gateway.logged_models_of(run_id, experiment_id):
            # filtered here, since MLflow's search by status finds nothing
            if model.info.status == READY:
                model_id = model.info.model_id
                return ModelSource(uri=f"models:/{model_id}", model_id=model_id)
    except EndpointMissing:
        pass  # MLflow 2 logs models as artifacts
    return await find_model_directory(gateway, run_id)


async def find_model_directory(gateway: MlflowGateway, run_id: str) -> ModelSource | None:
    """Return the run's artifact directory with an MLmodel file, as MLflow 2 logs models.

    Searches breadth-first, up to MAX_DIRECTORIES directories.
    """
    pending = deque([""])
    for _ in range(MAX_DIRECTORIES):
        if not pending:
            return None
        directory = pending.popleft()
        page = await gateway.list_artifacts(run_id, directory)
        if any(not file.is_dir and file.path.split("/")[-1] == MODEL_FILE for file in page.files):
            return ModelSource(uri="/".join(filter(None, (page.root_uri, directory))))
        pending.extend(sorted(file.path for file in page.files if file.is_dir))
    return None


async def register_for_job(
    gateway: MlflowGateway,
    job: EndedJob,
    source: ModelSource,
    run_id: str,
    by_script: Sequence[ModelVersion],
) -> str:
    """Return the job's version of its registered model, made from `source`, a model of its run.

    Creates the version, unless the script or an earlier call (interrupted by a crash, for example)
    already created it. `by_script` are the versions of the model that the script created from any
    of the job's runs. `run_id` is empty for a model that was logged without a run.
    """
    if not run_id:
        by_script = await _versions_of(gateway, job, source)
    version = newest(
        version
        for version in by_script
        if version.source == source.uri or (run_id and version.run_id == run_id)
    )
    if version is not None:
        return version.version
    if job.may_be_registered and (version := await _find_tagged(gateway, job)) is not None:
        return version.version
    tags = {**job.tags, JOB_TAG: job.job_id}
    version = await _create_version(gateway, job.model_name, source, run_id=run_id, tags=tags)
    return version.version


async def register_run(
    gateway: MlflowGateway,
    *,
    model_name: str,
    run_id: str,
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> ModelVersion:
    """Register the model of a run as a version of `model_name`, at a user's request.

    Raises:
        TrackingNotFound: there is no such run.
        TrackingRejected: the run logged no model, or MLflow rejects the name.
    """
    run = await gateway.get_run(run_id)
    source = await find_source(gateway, run.info.run_id, run.info.experiment_id)
    if source is None:
        raise TrackingRejected(
            f"Run {run.info.run_id} has no model to register; log one in it, for example with"
            " mlflow.sklearn.log_model(model, name=...)."
        )
    return await _create_version(
        gateway,
        model_name,
        source,
        run_id=run.info.run_id,
        description=description,
        tags=tags or {},
    )


# Filters contain only ids: a name with both kinds of quotes cannot be expressed in them.


async def versions_from(gateway: MlflowGateway, run_ids: Sequence[str]) -> list[ModelVersion]:
    """Return the versions, of any model, that were created from any of these runs."""
    versions: list[ModelVersion] = []
    for first in range(0, len(run_ids), RUNS_PER_SEARCH):
        ids = ", ".join(f"'{run_id}'" for run_id in run_ids[first : first + RUNS_PER_SEARCH])
        versions += await gateway.search_model_versions(f"run_id IN ({ids})")
    return versions


async def _versions_of(
    gateway: MlflowGateway, job: EndedJob, source: ModelSource
) -> list[ModelVersion]:
    """Return the versions of the job's model that were created from one logged model."""
    versions = await gateway.search_model_versions(f"source_path = '{source.uri}'")
    return [version for version in versions if version.name == job.model_name]


async def _find_tagged(gateway: MlflowGateway, job: EndedJob) -> ModelVersion | None:
    """Return the version of the job's model that is tagged with the job's id, from any run."""
    versions = await gateway.search_model_versions(f"tags.`{JOB_TAG}` = '{job.job_id}'")
    return newest(version for version in versions if version.name == job.model_name)


def newest(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """Return the version with the highest number."""
    return max(versions, key=lambda version: int(version.version), default=None)


async def _create_version(
    gateway: MlflowGateway,
    model_name: str,
    source: ModelSource,
    *,
    run_id: str,
    description: str = "",
    tags: Mapping[str, str],
) -> ModelVersion:
    async def create() -> ModelVersion:
        return await gateway.create_model_version(
            model_name,
            source=source.uri,
            run_id=run_id,
            model_id=source.model_id,
            description=description,
            tags=tags,
        )

    try:
        return await create()
    except TrackingNotFound:
        pass
    except MlflowRefused as error:
        # with access control, MLflow denies access to a model that does not exist
        if error.error_code != DENIED:
            raise
    await _ensure_registered_model(gateway, model_name)
    return await create()


async def _ensure_registered_model(gateway: MlflowGateway, name: str) -> None:
    try:
        await gateway.create_registered_model(name)
    except MlflowRefused as error:
        if error.error_code != ALREADY_EXISTS:
            raise
