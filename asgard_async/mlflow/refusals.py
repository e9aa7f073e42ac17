"""Exceptions for MLflow's error responses: unavailable, not found, or rejected."""

from http import HTTPStatus

import msgspec

from asgard_async.domain.errors import (
    AsgardError,
    TrackingNotFound,
    TrackingRejected,
    TrackingUnavailable,
)
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.wire import Refusal

ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"
NO_ENDPOINT = "ENDPOINT_NOT_FOUND"
DENIED = "PERMISSION_DENIED"
DENIED_BODY = b"Permission denied"
"""The entire body of a 403 from MLflow's basic-auth app."""
MAX_MESSAGE_CHARACTERS = 500


class MlflowRefused(TrackingRejected):
    """A 4xx response of MLflow, with its error code."""

    def __init__(self, message: str, error_code: str) -> None:
        self.error_code = error_code
        super().__init__(message)


class MlflowInternalError(TrackingUnavailable):
    """MLflow is running but failed to process this request (500); others may succeed.

    Some requests always fail this way, such as a source that names no logged model, so one job's
    failure must not hold up other jobs.
    """


class EndpointMissing(TrackingUnavailable):
    """There is no such URL: not an MLflow server, a disabled feature, or an older version."""


class ArtifactsNotServed(TrackingUnavailable):
    """The server does not proxy artifacts: its clients access the store themselves."""


class ResponseTooLarge(TrackingUnavailable):
    """MLflow's response exceeds the limit on memory for one response."""


def read_refusal(status: int, body: bytes, address: MlflowAddress) -> AsgardError:
    """Return the exception for a response other than 2xx."""
    public_uri = address.public_uri
    refusal = _decode(body)
    # only the first line: MLflow quotes SQL with its parameters below it
    message = (refusal.message.partition("\n")[0] if refusal else "")[:MAX_MESSAGE_CHARACTERS]
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # there is no message after an unexpected error, for example in the artifact store
        return MlflowInternalError(
            f"MLflow at {public_uri} failed:"
            f" {message or 'it answered 500 without a reason; see its own log'}"
        )
    if status == HTTPStatus.UNAUTHORIZED:
        # the request itself is fine and can be retried once the administrator fixes this
        return TrackingUnavailable(_unauthorized(address))
    if status == HTTPStatus.FORBIDDEN and (refusal is None or not refusal.error_code):
        return _forbidden(body, address)
    if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or status >= 500:
        return TrackingUnavailable(f"MLflow at {public_uri} answered {status}; try again later")
    if refusal is None or not refusal.error_code or status < 400:
        kind = EndpointMissing if status == HTTPStatus.NOT_FOUND else TrackingUnavailable
        return kind(
            f"{public_uri} answered {status}, not as an MLflow server would;"
            " check [mlflow] tracking_uri"
        )
    if refusal.error_code == NO_ENDPOINT:
        return EndpointMissing(f"MLflow at {public_uri} lacks a required endpoint: {message}")
    if status == HTTPStatus.NOT_FOUND or refusal.error_code == NOT_FOUND:
        return TrackingNotFound(message)
    return MlflowRefused(message, refusal.error_code)


def refuse_unserved(status: int, body: bytes, public_uri: str) -> None:
    """Raise ArtifactsNotServed if a response means that the server does not proxy artifacts.

    A server with the feature disabled answers 503; a server without it has no such URL. A server
    that proxies artifacts passes on the store's 404, with an error code.
    """
    refusal = _decode(body)
    if status == HTTPStatus.NOT_FOUND and refusal is not None:
        if refusal.error_code not in {"", NO_ENDPOINT}:
            return
    elif status == HTTPStatus.SERVICE_UNAVAILABLE and b"--serve-artifacts" not in body:
        return
    raise ArtifactsNotServed(
        f"MLflow at {public_uri} does not proxy artifacts: jobs need access to the artifact store"
        " and their own credentials for it, unless MLflow runs with --serve-artifacts"
    )


def _decode(body: bytes) -> Refusal | None:
    try:
        return msgspec.json.decode(body, type=Refusal, strict=False)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _unauthorized(address: MlflowAddress) -> str:
    if address.authorization is None:
        return (
            f"MLflow at {address.public_uri} requires credentials (401);"
            " set [mlflow] username and password, or token"
        )
    return (
        f"MLflow at {address.public_uri} does not accept Asgard's credentials (401);"
        " check [mlflow] username and password, or token"
    )


def _forbidden(body: bytes, address: MlflowAddress) -> AsgardError:
    if body.strip() == DENIED_BODY:
        return MlflowRefused(
            f"MLflow at {address.public_uri} denies Asgard's user this request (403);"
            " grant that user the permission in MLflow",
            DENIED,
        )
    # from a proxy, or from MLflow itself for a host name that it does not accept
    return TrackingUnavailable(
        f"{address.public_uri} answered 403: a proxy in front of MLflow denies access, or MLflow"
        " does not accept that host name (its --allowed-hosts)"
    )
