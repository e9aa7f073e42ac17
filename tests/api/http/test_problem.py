"""Problem documents: every error has a status, and none can break the response."""

import errno
import inspect
import json
import sqlite3
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from asgard_async.api import errors as api_errors
from asgard_async.api.http.problem import (
    INTERNAL_ERROR,
    STATUS_OF,
    Problem,
    problem_of,
    problem_of_http,
    problem_of_refusal,
)
from asgard_async.domain import errors
from asgard_async.domain.errors import (
    AsgardError,
    InvalidSubmission,
    JobNotFound,
    QueueFull,
    TrackingRejected,
    TrackingUnavailable,
)


def refusals_of(module: ModuleType) -> list[type[AsgardError]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, AsgardError)
    ]


def document_of(problem: Problem) -> dict[str, Any]:
    body = problem.response("r1").body
    assert isinstance(body, bytes)
    document: dict[str, Any] = json.loads(body)
    return document


@pytest.mark.parametrize("kind", [*refusals_of(errors), *refusals_of(api_errors)])
def test_every_domain_error_has_a_status(kind: type[AsgardError]) -> None:
    assert kind in STATUS_OF


def test_a_problem_says_what_to_do() -> None:
    problem = problem_of_refusal(JobNotFound("00000000"))
    assert document_of(problem) == {
        "type": "urn:asgard:problem:job-not-found",
        "title": "Job not found",
        "status": 404,
        "detail": "There is no job 00000000; GET /mlops/training/jobs lists the jobs.",
        "request_id": "r1",
    }


def test_an_unmapped_error_is_reported_as_its_parent() -> None:
    class Special(TrackingUnavailable):
        pass

    problem = problem_of_refusal(Special("Later."))
    assert (problem.status, problem.title) == (503, "MLflow unavailable")


def test_transient_errors_carry_retry_after() -> None:
    assert problem_of_refusal(QueueFull(5)).headers == {"Retry-After": "5"}
    assert problem_of_refusal(TrackingUnavailable("Later.")).headers.keys() == {"Retry-After"}


def busy_database() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.EMFILE, ""), "The service has too many open files; "),
        (OSError(errno.ENOMEM, ""), "The service's machine is out of memory; "),
        (OSError(errno.EAGAIN, ""), "The service's machine is out of processes or threads; "),
        (busy_database(), "The service's database is busy; "),
    ],
)
def test_an_overloaded_service_names_the_resource(error: Exception, cause: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.type) == (503, "urn:asgard:problem:overloaded")
    assert problem.detail.startswith(cause)


def test_every_422_has_errors() -> None:
    problem = problem_of_refusal(InvalidSubmission({"timeout": ["Too long."]}))
    assert document_of(problem)["errors"] == {"timeout": ["Too long."]}
    assert document_of(problem_of_refusal(TrackingRejected("No.")))["errors"] == {
        "request": ["No."]
    }


def test_405_lists_the_allowed_methods() -> None:
    problem = problem_of_http(web.HTTPMethodNotAllowed("PUT", ["POST", "GET"]))
    assert (problem.status, problem.headers["Allow"]) == (405, "GET, POST")
    assert "GET, POST" in problem.detail


@given(st.dictionaries(st.text(), st.lists(st.text(), min_size=1), max_size=80), st.text())
def test_any_text_can_be_a_detail(fields: dict[str, list[str]], detail: str) -> None:
    class Refusal(InvalidSubmission):
        def __str__(self) -> str:
            return detail

    document = document_of(problem_of_refusal(Refusal(fields)))
    assert len(document["errors"]) <= 51


def test_lone_surrogates_can_be_a_detail() -> None:
    document = document_of(problem_of_refusal(InvalidSubmission({"\ud800": ["\udfff"]})))
    assert document["errors"] == {"?": ["?"]}


def test_a_server_error_reveals_nothing() -> None:
    assert document_of(INTERNAL_ERROR)["detail"].startswith("Internal error")


def test_the_number_of_reported_errors_is_bounded() -> None:
    reported = document_of(
        problem_of_refusal(InvalidSubmission({f"field{n}": ["Wrong."] for n in range(1000)}))
    )["errors"]
    assert len(reported) == 51
    assert reported["…"] == ["950 more fields are invalid."]
