"""The validators of MLflow's auth application that cannot know who made what, replaced.

MLflow's permissions are those of experiments. Asgard's owners share experiments: everyone who may
read one may create in it, and what is created belongs to its maker.
"""

import posixpath
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import flask
from google.protobuf.json_format import Parse  # type: ignore[import-untyped]
from mlflow.entities.span import Span
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.protos.model_registry_pb2 import CreateModelVersion
from mlflow.protos.service_pb2 import CreateExperiment, DeleteTraces, StartTraceV3
from mlflow.server import auth as mlflow_auth
from mlflow.server import handlers as mlflow_handlers
from mlflow.server import otel_api
from mlflow.server.auth.permissions import (
    MANAGE,
    RESOURCE_TYPE_EXPERIMENT,
    RESOURCE_TYPE_LOGGED_MODEL,
    RESOURCE_TYPE_RUN,
    RESOURCE_TYPE_TRACE,
)
from mlflow.server.auth.requirements import ACTION_NOT_DENIED, Requirement
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from asgard_async.mlflow.guard.account_store import CREATORS, NOBODYS, AccountStore, owned_by
from asgard_async.mlflow.guard.owners import MODEL, RUN, TRACE, Owners
from asgard_async.mlflow.server.identities import READERS_ACCOUNT

FOLDERS = {"models": (MODEL, RESOURCE_TYPE_LOGGED_MODEL), "traces": (TRACE, RESOURCE_TYPE_TRACE)}
"""The folders of an experiment's artifacts; runs have theirs beside them."""
Validator = Callable[[], bool]
auth: Any = mlflow_auth
handlers: Any = mlflow_handlers
"""Without types, and used with their private parts."""


class Rules:
    """The replacements, which use the owners that are recorded."""

    def __init__(
        self, owners: Owners, accounts: AccountStore, *, are_unknown: Callable[[], bool]
    ) -> None:
        """`are_unknown` is true while the owners of earlier jobs are."""
        self._owners = owners
        self._are_unknown = are_unknown
        self._accounts = accounts
        self._create_version: Validator = auth.validate_can_create_model_version
        self._delete_experiment: Validator = auth.validate_can_delete_experiment
        self._create_experiment: Validator = auth.validate_can_create_experiment
        self._start_trace_v3: Validator = auth.validate_can_start_trace_v3
        self._delete_traces: Validator = auth.validate_can_delete_traces

    def validators(self) -> dict[Validator, Validator]:
        """Return the replacement of each validator in MLflow's tables of routes."""
        return {
            self._delete_experiment: self.may_delete_experiment,
            self._create_experiment: self.may_create_experiment,
            self._start_trace_v3: self.may_start_trace,
            self._create_version: self.may_create_version,
            self._delete_traces: self.may_delete_traces,
        }

    # --- creation ---------------------------------------------------------------------------

    def may_create_in_experiment(
        self, username: str, experiment_id: str, created_type: str, extra: Sequence[Any] = ()
    ) -> bool:
        """Replace `_authorize_create_in_experiment_as`: who may read may create."""
        return bool(
            auth.authorize(
                username,
                (RESOURCE_TYPE_EXPERIMENT, experiment_id),
                [
                    Requirement(RESOURCE_TYPE_EXPERIMENT, experiment_id, "read"),
                    Requirement(RESOURCE_TYPE_EXPERIMENT, CREATORS, "update"),
                    Requirement(created_type, "*", ACTION_NOT_DENIED),
                    *extra,
                ],
            )
        )

    def may_create(self, username: str) -> bool:
        """Replace `_can_create_in_workspace`."""
        return username != READERS_ACCOUNT

    def may_create_experiment(self) -> bool:
        """Refuse locations of artifacts, among which may be those of another owner's run."""
        if handlers._get_request_message(CreateExperiment()).artifact_location:
            raise MlflowException(
                "Asgard's MLflow chooses where artifacts are stored; create experiments without"
                " artifact_location.",
                error_code=INVALID_PARAMETER_VALUE,
            )
        return self._create_experiment()

    def may_create_version(self) -> bool:
        """Give a registered model that nobody owns to the first owner who registers a version.

        Such models were made while no token was required.
        """
        name, username = str(auth._get_request_param("name")), _username()
        if username != READERS_ACCOUNT and not self._are_unknown():
            store = auth._get_model_registry_store()
            model = auth._fetch_or_none(store.get_registered_model, name)
            kind = "prompt" if model is not None and model._is_prompt() else "registered_model"
            if model is not None and not self._owners.grants_on(kind, name):
                self._accounts.grant_user_permission(username, kind, name, MANAGE.name)
        source = str(handlers._get_request_message(CreateModelVersion()).source)
        return self._may_read_source(source, username) and self._create_version()

    def _may_read_source(self, source: str, username: str) -> bool:
        """Return whether a version may have this source, from which MLflow reads for all readers.

        MLflow itself checks runs and logged models that the request names apart from it.
        """
        parts = urlsplit(source)
        path = parts.path.lstrip("/")
        if parts.scheme == "runs":
            return bool(auth._authorize_run_id(path.partition("/")[0], "read"))
        if parts.scheme != "mlflow-artifacts":
            return True
        return bool(
            auth._authorize_artifact_proxy_resolved(
                self.artifact(path, "read"),
                username,
                "read",
                lambda: auth._get_experiment_permission(path.partition("/")[0], username),
            )
        )

    def may_start_trace(self) -> bool:
        """Refuse the id of another owner's trace, which the request would change."""
        if not self._start_trace_v3():
            return False
        info = handlers._get_request_message(StartTraceV3()).trace.trace_info
        experiment_id = info.trace_location.mlflow_experiment.experiment_id
        return self._may_write_trace(_username(), info.trace_id, experiment_id)

    def otel_validator(self, _path: str) -> Callable[[str, Any], Awaitable[bool]]:
        """Replace `_get_otel_validator`: spans may name traces, and a header a run."""

        async def may_export(username: str, request: Any) -> bool:
            experiment_id = request.headers.get("x-mlflow-experiment-id", "")
            run_id = request.headers.get("x-mlflow-run-id")
            if not self.may_create_in_experiment(username, experiment_id, RESOURCE_TYPE_TRACE):
                return False
            if run_id and not self._may_write_run(username, run_id):
                return False
            media_type = request.headers.get("content-type", "").partition(";")[0].strip()
            traces = _traces_in(await request.body(), media_type)
            return all(self._may_write_trace(username, one, experiment_id) for one in traces)

        return may_export

    def _may_write_trace(self, username: str, trace_id: str, experiment_id: str) -> bool:
        """Return whether a trace is the caller's, which it becomes if it does not exist."""
        store = auth._get_tracking_store()
        trace = auth._fetch_or_none(store.get_trace_info, trace_id)
        if trace is None:
            self._owners.add(TRACE, trace_id, username, experiment_id)
            trace = store.get_trace_info(trace_id)
        return self._may(username, trace.experiment_id, RESOURCE_TYPE_TRACE, "update")

    def _may_write_run(self, username: str, run_id: str) -> bool:
        resolved = auth._run_requirement(run_id, "update")
        return resolved is not None and bool(auth.authorize(username, *resolved))

    # --- deletion ---------------------------------------------------------------------------

    def may_delete_experiment(self) -> bool:
        """Refuse to delete or restore what other owners made together with the experiment."""
        experiment_id = str(auth._get_request_param("experiment_id"))
        return self._delete_experiment() and not self._owners.has_others(experiment_id, _username())

    def may_delete_traces(self) -> bool:
        """Decide by trace rather than by experiment."""
        message = handlers._get_request_message(DeleteTraces())
        trace_ids = list(message.request_ids)
        if not trace_ids:
            return self._delete_traces() and not self._owners.has_others(
                message.experiment_id, _username()
            )
        return all(auth._authorize_trace(trace_id, "delete") for trace_id in trace_ids)

    # --- artifacts --------------------------------------------------------------------------

    def artifact(self, path: str | None, action: str) -> Any:
        """Replace `_artifact_proxy_child`: whose artifact a path names.

        What belongs to no run, model or trace only administrators may change: MLflow stores nothing
        there, and whole folders contain what others made.
        """
        if not path:
            return None
        canonical = auth._canonical_artifact_proxy_path(path)
        if canonical is None:
            return auth._ARTIFACT_PROXY_UNPARSABLE
        parts = posixpath.normpath(f"/{canonical}").strip("/").split("/")
        if not parts[0].isdigit():
            return None
        rest = parts[1:]
        kind, resource_type, record_id = RUN, RESOURCE_TYPE_RUN, rest[0] if rest else ""
        if record_id in FOLDERS:
            kind, resource_type = FOLDERS[record_id]
            record_id = rest[1] if len(rest) > 1 else ""
        owner = self._owners.of(kind, record_id) if record_id else None
        if owner is not None:
            return (resource_type,), (RESOURCE_TYPE_EXPERIMENT, owned_by(owner))
        if action == "read":
            return None
        resource = self._unowned(kind, record_id)
        return (resource_type,), (RESOURCE_TYPE_EXPERIMENT, resource or NOBODYS)

    def _unowned(self, kind: str, record_id: str) -> str | None:
        """Return the experiment of a run, model or trace that is older than the owners."""
        store = auth._get_tracking_store()
        if not record_id:
            return None
        if kind == RUN:
            run = auth._fetch_or_none(store.get_run, record_id)
            return None if run is None else str(run.info.experiment_id)
        fetch = store.get_logged_model if kind == MODEL else store.get_trace_info
        record = auth._fetch_or_none(fetch, record_id)
        return None if record is None else str(record.experiment_id)

    # --- recording --------------------------------------------------------------------------

    def record_run(self, response: flask.Response) -> None:
        """Record the owner of a run that was just created."""
        info = response.get_json()["run"]["info"]
        self._record(RUN, info["run_id"], info["experiment_id"])

    def record_model(self, response: flask.Response) -> None:
        """Record the owner of a logged model that was just created."""
        info = response.get_json()["model"]["info"]
        self._record(MODEL, info["model_id"], info["experiment_id"])

    def record_trace(self, response: flask.Response) -> None:
        """Record the owner of a trace that was just started by an old client."""
        info = response.get_json()["trace_info"]
        self._record(TRACE, info["request_id"], info["experiment_id"])

    def _record(self, kind: str, record_id: str, experiment_id: str) -> None:
        self._owners.add(kind, record_id, _username(), experiment_id)

    def _may(self, username: str, experiment_id: str, resource_type: str, action: str) -> bool:
        experiment = (RESOURCE_TYPE_EXPERIMENT, experiment_id)
        return bool(
            auth.authorize(
                username,
                experiment,
                [
                    Requirement(RESOURCE_TYPE_EXPERIMENT, experiment_id, "read"),
                    Requirement(resource_type, "*", action, fallback_if_no_grant=(experiment,)),
                ],
            )
        )


def _username() -> str:
    return str(flask.g.mlflow_authenticated_user)


def _traces_in(body: bytes, media_type: str) -> set[str]:
    """Return the traces that the spans of a request belong to, as MLflow reads it."""
    message = ExportTraceServiceRequest()
    try:
        if media_type == "application/json":
            Parse(
                otel_api._convert_otlp_json_ids_to_base64(body), message, ignore_unknown_fields=True
            )
        else:
            message.ParseFromString(body)
        return {
            Span.from_otel_proto(span, resource=resource.resource).trace_id
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }
    except Exception as error:
        raise MlflowException(
            "Invalid OpenTelemetry format", error_code=INVALID_PARAMETER_VALUE
        ) from error
