"""What Asgard reads in MLflow's answers. Fields that are not named here are skipped unparsed."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class MlflowRunStatus(StrEnum):
    """The states of a run that Asgard sets or asks for."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class Answer(msgspec.Struct, frozen=True):
    """MLflow leaves out what is empty, so every field but an identifier has a default."""


class Page(Answer, frozen=True):
    """A part of a list; an empty token means that it is the last one."""

    next_page_token: str = ""


class Tag(Answer, frozen=True):
    key: str
    value: str = ""


class Experiment(Answer, frozen=True):
    experiment_id: str
    name: str = ""
    lifecycle_stage: str = "active"


class RunInfo(Answer, frozen=True):
    run_id: str
    experiment_id: str
    run_name: str | None = None
    status: str = MlflowRunStatus.RUNNING
    start_time: int | None = None
    end_time: int | None = None


class RunData(Answer, frozen=True):
    tags: Sequence[Tag] = ()


class Run(Answer, frozen=True):
    info: RunInfo
    data: RunData = RunData()

    @property
    def tags(self) -> dict[str, str]:
        return {tag.key: tag.value for tag in self.data.tags}


class LoggedModelInfo(Answer, frozen=True):
    model_id: str
    status: str = ""


class LoggedModel(Answer, frozen=True):
    info: LoggedModelInfo


class ArtifactFile(Answer, frozen=True):
    path: str
    is_dir: bool = False


class Alias(Answer, frozen=True):
    alias: str
    version: str


class ModelVersion(Answer, frozen=True):
    name: str
    version: str
    current_stage: str = "None"
    run_id: str = ""
    description: str = ""
    tags: Sequence[Tag] = ()
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0


class RegisteredModel(Answer, frozen=True):
    name: str
    description: str = ""
    tags: Sequence[Tag] = ()
    aliases: Sequence[Alias] = ()
    latest_versions: Sequence[ModelVersion] = ()
    creation_timestamp: int = 0
    last_updated_timestamp: int = 0


class Refusal(Answer, frozen=True):
    error_code: str = ""
    message: str = ""


class ExperimentAnswer(Answer, frozen=True):
    experiment: Experiment


class ExperimentCreated(Answer, frozen=True):
    experiment_id: str


class ExperimentsPage(Page, frozen=True):
    experiments: Sequence[Experiment] = ()


class RunAnswer(Answer, frozen=True):
    run: Run


class RunUpdated(Answer, frozen=True):
    run_info: RunInfo


class RunsPage(Page, frozen=True):
    runs: Sequence[Run] = ()


class LoggedModelsPage(Page, frozen=True):
    models: Sequence[LoggedModel] = ()


class ArtifactsPage(Page, frozen=True):
    root_uri: str = ""
    files: Sequence[ArtifactFile] = ()


class RegisteredModelAnswer(Answer, frozen=True):
    registered_model: RegisteredModel


class RegisteredModelsPage(Page, frozen=True):
    registered_models: Sequence[RegisteredModel] = ()


class ModelVersionAnswer(Answer, frozen=True):
    model_version: ModelVersion


class ModelVersionsPage(Page, frozen=True):
    model_versions: Sequence[ModelVersion] = ()


class Name(Answer, frozen=True):
    name: str


class RegisteredModelNames(Page, frozen=True):
    """A page of registered models of which only the number counts."""

    registered_models: Sequence[Name] = ()
