"""Names that clients, dashboards and log readers rely on: none may follow a renamed identifier."""

import json
from typing import Any

from asgard_async.api import errors as api_errors
from asgard_async.api.health import not_ready
from asgard_async.api.http.problem import STATUS_OF, problem_of_refusal
from asgard_async.api.openapi.document import ApiDocument
from asgard_async.api.routes import PAGES, ROUTES
from asgard_async.auth import errors as auth_errors
from asgard_async.domain import errors
from asgard_async.domain.errors import AsgardError

PROBLEM_TYPES: dict[type[AsgardError], str] = {
    AsgardError: "asgard-error",
    api_errors.BodyTooLarge: "body-too-large",
    api_errors.BodyTooSlow: "body-too-slow",
    api_errors.ForeignHost: "foreign-host",
    api_errors.ForeignOrigin: "foreign-origin",
    api_errors.InvalidRequest: "invalid-request",
    api_errors.MalformedBody: "malformed-body",
    api_errors.TooManyBodies: "too-many-bodies",
    api_errors.TooManyRequests: "too-many-requests",
    api_errors.UnsupportedMediaType: "unsupported-media-type",
    api_errors.UpgradeRequired: "upgrade-required",
    auth_errors.NotAuthenticated: "not-authenticated",
    auth_errors.ScopeTooSmall: "scope-too-small",
    auth_errors.TokensUnreadable: "tokens-unreadable",
    auth_errors.TooManyFailures: "too-many-failures",
    errors.ArchiveNotKept: "archive-not-kept",
    errors.DiskShort: "disk-short",
    errors.FilesNotKept: "files-not-kept",
    errors.IdempotencyConflict: "idempotency-conflict",
    errors.InvalidSubmission: "invalid-submission",
    errors.JobNotFinished: "job-not-finished",
    errors.JobNotFound: "job-not-found",
    errors.LogNotKept: "log-not-kept",
    errors.NoSuchFile: "file-not-found",
    errors.NotIsolated: "not-isolated",
    errors.NotYourJob: "not-your-job",
    errors.Overloaded: "overloaded",
    errors.QueueFull: "queue-full",
    errors.QueueShareUsed: "queue-share-used",
    errors.ServiceDraining: "service-draining",
    errors.TooManyChecks: "too-many-checks",
    errors.TrackingNotFound: "tracking-not-found",
    errors.TrackingRejected: "tracking-rejected",
    errors.TrackingUnavailable: "tracking-unavailable",
}

OPERATIONS = {
    "POST /mlops/training/upload": "upload",
    "GET /mlops/training/jobs": "list_jobs",
    "GET /mlops/training/jobs/{job_id}": "get_job",
    "DELETE /mlops/training/jobs/{job_id}": "delete_job",
    "POST /mlops/training/jobs/{job_id}/cancel": "cancel",
    "POST /mlops/training/jobs/{job_id}/retry": "retry",
    "GET /mlops/training/jobs/{job_id}/script": "get_script",
    "GET /mlops/training/jobs/{job_id}/files": "list_files",
    "GET /mlops/training/jobs/{job_id}/files/{path}": "get_file",
    "GET /mlops/training/jobs/{job_id}/logs": "get_logs",
    "GET /mlops/training/jobs/{job_id}/logs/ws": "stream_log",
    "GET /mlops/models": "get_models",
    "GET /mlops/models/{name}": "get_one_model",
    "GET /mlops/models/{name}/versions": "get_model_versions",
    "POST /mlops/registry": "register",
    "GET /mlops/status": "get_status",
    "GET /health/live": "live",
    "GET /health/ready": "ready",
    "GET /health/instance": "get_instance",
    "GET /metrics": "get_metrics",
    "GET /openapi.json": "get_document",
}

SCHEMAS = {
    *(
        "AskedLimits",
        "File",
        "FileList",
        "HistoryEntry",
        "Instance",
        "Job",
        "JobChanges",
        "JobInFull",
        "JobList",
        "Links",
        "Live",
    ),
    *(
        "ModelVersion",
        "ModelVersionList",
        "NewJob",
        "NotReady",
        "OpenApi",
        "Problem",
        "Ready",
        "RegisteredModel",
    ),
    *("Registration", "Resources", "ResourcesAsked", "RetriedJob", "Run", "Status", "Submission"),
    "TimeoutBounds",
    "UploadForm",
}
"""Generated clients name their classes after them."""

AUDIT_ACTIONS = {
    "POST /mlops/training/upload": "upload",
    "DELETE /mlops/training/jobs/{job_id}": "delete_job",
    "POST /mlops/training/jobs/{job_id}/cancel": "cancel",
    "POST /mlops/training/jobs/{job_id}/retry": "retry",
    "POST /mlops/registry": "register",
}


DOCUMENT: dict[str, Any] = json.loads(ApiDocument(ROUTES).encoded)


def test_problem_types_are_pinned() -> None:
    assert {error: error.__dict__["problem_type"] for error in STATUS_OF} == PROBLEM_TYPES


def test_other_errors_inherit_a_pinned_problem_type() -> None:
    others = subclasses_of(AsgardError) - PROBLEM_TYPES.keys()
    assert all("problem_type" not in error.__dict__ for error in others)


def test_problem_documents_carry_the_declared_type() -> None:
    problem = problem_of_refusal(errors.JobNotFound("00000000"))
    assert problem.type == "urn:asgard:problem:job-not-found"
    assert not_ready([]).type == "urn:asgard:problem:not-ready"


def test_operation_ids_are_pinned() -> None:
    published = {
        f"{method.upper()} {path}": operation["operationId"]
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert published == OPERATIONS


def test_schema_names_are_pinned() -> None:
    assert DOCUMENT["components"]["schemas"].keys() == SCHEMAS


def test_audit_actions_are_pinned() -> None:
    declared = {
        f"{route.method} {route.path}": getattr(route.handler, "audit_action", None)
        for route in (*ROUTES, *PAGES)
    }
    assert {name: action for name, action in declared.items() if action} == AUDIT_ACTIONS


def test_every_unsafe_method_is_audited() -> None:
    unsafe = {f"{r.method} {r.path}" for r in (*ROUTES, *PAGES) if r.method != "GET"}
    assert unsafe == AUDIT_ACTIONS.keys()


def subclasses_of(error: type[AsgardError]) -> set[type[AsgardError]]:
    direct = {
        kind for kind in error.__subclasses__() if kind.__module__.startswith("asgard_async.")
    }
    return direct.union(*map(subclasses_of, direct))
