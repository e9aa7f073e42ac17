"""The parts of MLflow's responses that Asgard reads. Other fields are skipped unparsed."""

import math
from collections.abc import Collection, Sequence
from enum import StrEnum

import msgspec

EMPTY = msgspec.Raw(b"[]")
MAX_TAG_CHARACTERS = 256
"""Longer values of Asgard's own tags are not Asgard's."""
MAX_METRICS = 100
SYSTEM_METRICS = "system/"
"""The prefix of metrics that MLflow itself logs about the machine."""


class MlflowRunStatus(StrEnum):
    """The states of a run that Asgard sets or queries."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class WireObject(msgspec.Struct, frozen=True):
    """Base of MLflow's JSON objects, which omit empty fields: all but ids have defaults."""


class AccountsState(WireObject, frozen=True):
    """The state of the embedded server's guard."""

    owners_are_unknown: bool = False


class Page(WireObject, frozen=True):
    """A page of a list; an empty token marks the last page."""

    next_page_token: str = ""


class Tag(WireObject, frozen=True):
    key: str
    value: str = ""


class Metric(WireObject, frozen=True):
    """The last value of a metric; MLflow sends values that are not finite as text."""

    key: str
    value: float = 0.0


class Experiment(WireObject, frozen=True):
    experiment_id: str
    name: str = ""
    lifecycle_stage: str = "active"


class RunInfo(WireObject, frozen=True):
    run_id: str
    experiment_id: str
    run_name: str | None = None
    status: str = MlflowRunStatus.RUNNING
    start_time: int | None = None
    end_time: int | None = None
    lifecycle_stage: str = "active"


class RunData(WireObject, frozen=True):
    """Tags and metrics in JSON, since a run may have any number: see the methods of `Run`."""

    tags: msgspec.Raw = EMPTY
    metrics: msgspec.Raw = EMPTY


class Run(WireObject, frozen=True):
    info: RunInfo
    data: RunData = RunData()

    def selected_tags(self, keys: Collection[str]) -> dict[str, str]:
        """Return those tags whose keys are asked for; values are never long."""
        return _selected(self.data.tags, keys)

    def first_metrics(self) -> dict[str, float | None]:
        """Return the values of MAX_METRICS metrics, by name and those of the system last.

        None stands for a value that is not finite.
        """
        values = {
            metric.key: metric.value
            for metric in msgspec.json.decode(self.data.metrics, type=list[Metric], strict=False)
        }
        names = sorted(values, key=lambda name: (name.startswith(SYSTEM_METRICS), name))
        return {
            name: values[name] if math.isfinite(values[name]) else None
            for name in names[:MAX_METRICS]
        }


class LoggedModelInfo(WireObject, frozen=True):
    model_id: str
    name: str = ""
    status: str = ""
    source_run_id: str | None = None
    tags: msgspec.Raw = EMPTY


class LoggedModel(WireObject, frozen=True):
    info: LoggedModelInfo

    def selected_tags(self, keys: Collection[str]) -> dict[str, str]:
        """Return those tags whose keys are asked for; values are never long."""
        return _selected(self.info.tags, keys)


def _selected(tags: msgspec.Raw, keys: Collection[str]) -> dict[str, str]:
    return {
        tag.key: tag.value
        for tag in msgspec.json.decode(tags, type=list[Tag], strict=False)
        if tag.key in keys and len(tag.value) <= MAX_TAG_CHARACTERS
    }


class ArtifactFile(WireObject, frozen=True):
    path: str
    is_dir: bool = False


class Alias(WireObject, frozen=True):
    alias: str
    version: str


class ModelVersion(WireObject, frozen=True):
    name: str
    version: str
    current_stage: str = "None"
    run_id: str = ""
    source: str = ""
    description: str = ""
    tags: Sequence[Tag] = ()
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0


class RegisteredModel(WireObject, frozen=True):
    name: str
    description: str = ""
    tags: Sequence[Tag] = ()
    aliases: Sequence[Alias] = ()
    latest_versions: Sequence[ModelVersion] = ()
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0


class Refusal(WireObject, frozen=True):
    error_code: str = ""
    message: str = ""


class ExperimentResponse(WireObject, frozen=True):
    experiment: Experiment


class ExperimentCreated(WireObject, frozen=True):
    experiment_id: str


class ExperimentsPage(Page, frozen=True):
    experiments: Sequence[Experiment] = ()


class RunResponse(WireObject, frozen=True):
    run: Run


class RunUpdated(WireObject, frozen=True):
    run_info: RunInfo


class RunsPage(Page, frozen=True):
    runs: Sequence[Run] = ()


class LoggedModelsPage(Page, frozen=True):
    models: Sequence[LoggedModel] = ()


class ArtifactsPage(Page, frozen=True):
    root_uri: str = ""
    files: Sequence[ArtifactFile] = ()


class RegisteredModelResponse(WireObject, frozen=True):
    registered_model: RegisteredModel


class RegisteredModelsPage(Page, frozen=True):
    registered_models: Sequence[RegisteredModel] = ()


class ModelVersionResponse(WireObject, frozen=True):
    model_version: ModelVersion


class ModelVersionsPage(Page, frozen=True):
    model_versions: Sequence[ModelVersion] = ()


class Name(WireObject, frozen=True):
    name: str


class RegisteredModelNames(Page, frozen=True):
    """A page of registered models, used to count them."""

    registered_models: Sequence[Name] = ()


class Account(WireObject, frozen=True):
    """A job, or callers without a token, with what they store as artifacts."""

    name: str
    size_bytes: int


class WrittenRun(WireObject, frozen=True):
    """A run that a job wrote to and may not have created; see server/written_runs.py."""

    job_id: str
    run_id: str
    attempt: int
    opened: bool


class WrittenRuns(WireObject, frozen=True):
    """The report of Asgard's embedded server on the runs that jobs wrote to."""

    runs: Sequence[WrittenRun] = ()


class ArtifactReport(WireObject, frozen=True):
    """The report of Asgard's embedded server on artifacts."""

    total_bytes: int
    accounts: Sequence[Account]
    """The largest ones, the largest first."""
