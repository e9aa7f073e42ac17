"""The OpenAPI document is valid, complete and true to the handlers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from asgard_async.api.openapi.document import ApiDocument, template_of
from asgard_async.api.routes import PAGES, ROUTES
from asgard_async.api.schemas.submission import SubmissionSchema
from asgard_async.api.schemas.submission_rules import SubmissionLimits
from tests.support.api_service import running, service_config
from tests.support.app_server import Client

Document = dict[str, Any]

DOCUMENT: Document = json.loads(ApiDocument(ROUTES).encoded)
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def contents_of(operation: Document) -> Iterator[tuple[str, Document]]:
    """Yield each request and response body, by status and content type."""
    bodies = {"request": operation.get("requestBody", {})} | operation["responses"]
    for status, body in bodies.items():
        for content_type, content in body.get("content", {}).items():
            yield f"{status} {content_type}", content


CONTENTS = {
    f"{name} {where}": content
    for name, operation in OPERATIONS.items()
    for where, content in contents_of(operation)
    if content  # binary content has neither schema nor example
}


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_the_document_lists_exactly_the_api_paths() -> None:
    assert set(OPERATIONS) == {f"{route.method} {template_of(route.path)}" for route in ROUTES}


def test_only_html_pages_are_left_out() -> None:
    assert {route.path for route in PAGES} == {"/docs", "/docs/{file}"}


@pytest.mark.parametrize("where", CONTENTS)
def test_examples_match_their_schemas(where: str) -> None:
    content = CONTENTS[where]
    # references are resolved within the schema itself
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    validator = OAS31Validator(schema, format_checker=OAS31Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(content["example"])] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_response_has_a_request_id_header(name: str) -> None:
    for response in OPERATIONS[name]["responses"].values():
        assert "X-Request-ID" in response["headers"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_error_responses_are_problem_documents(name: str) -> None:
    responses = OPERATIONS[name]["responses"]
    for status, response in responses.items():
        refused = int(status) >= 400
        assert (list(response.get("content", ())) == ["application/problem+json"]) == refused
        assert ("Retry-After" in response["headers"]) == (status in {"429", "503"})
    assert "500" in responses


def test_links_use_the_path_parameters_of_their_operation() -> None:
    by_id = {operation["operationId"]: operation for operation in OPERATIONS.values()}
    linked = set()
    for operation in OPERATIONS.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                linked.add(link["operationId"])
                target = by_id[link["operationId"]]["parameters"]
                in_path = {one["name"] for one in target if one["in"] == "path"}
                assert link["parameters"].keys() == in_path
    assert linked == {
        *("get_job", "get_logs", "get_script", "cancel", "retry", "delete_job"),
        "get_one_model",
    }


def test_every_validated_field_documents_its_rules() -> None:
    fields = DOCUMENT["components"]["schemas"]["Submission"]["properties"]
    assert fields["priority"]["minimum"] == -100
    assert fields["script_name"]["maxLength"] == 255
    assert fields["script_content"]["contentEncoding"] == "base64"
    assert fields["tags"]["maxProperties"] == 100
    assert fields["tags"]["propertyNames"]["maxLength"] == 250
    assert "default" not in fields["idempotency_key"]
    assert DOCUMENT["components"]["schemas"]["Submission"]["additionalProperties"] is False


def test_nullable_enums_include_null() -> None:
    reason = DOCUMENT["components"]["schemas"]["JobInFull"]["properties"]["reason"]
    assert reason["type"] == ["string", "null"]
    assert None in reason["enum"]


def test_bounds_match_the_configuration() -> None:
    limits = SubmissionLimits(max_script_bytes=3, timeout_min=7, timeout_max=9, timeout_default=8)
    document = ApiDocument(ROUTES, configured=[SubmissionSchema(limits)]).build()
    fields = document["components"]["schemas"]["Submission"]["properties"]
    timeout = fields["timeout"]
    assert (timeout["minimum"], timeout["default"], timeout["maximum"]) == (7, 8, 9)
    assert fields["script_content"]["maxLength"] == 4
    # other instances keep their bounds
    assert SubmissionSchema().fields["timeout"].load_default == 300


@pytest.mark.service
async def test_the_service_serves_the_document(tmp_path: Any) -> None:
    async with running(service_config(tmp_path, jobs={"timeout_max": 4000})) as client:
        document = await served(client)
    validate(document)
    submission = document["components"]["schemas"]["Submission"]
    assert submission["properties"]["timeout"]["maximum"] == 4000


async def served(client: Client) -> Document:
    response = await client.get("/openapi.json")
    assert response.status == 200
    assert response.content_type == "application/json"
    document: Document = await response.json()
    return document
