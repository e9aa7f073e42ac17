"""What MLflow's refusals mean: try again later, does not exist, or wrong as it was asked."""

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
DENIED_IN_WORDS = b"Permission denied"
"""The whole of what basic-auth's 403 says."""
MAX_MESSAGE = 500


class MlflowRefused(TrackingRejected):
    """MLflow's 4xx, with its error code."""

    def __init__(self, message: str, error_code: str) -> None:
        self.error_code = error_code
        super().__init__(message)


class MlflowInternalError(TrackingUnavailable):
    """MLflow runs but failed at this very request (500); others may well succeed.

    It answers so to some requests that can never succeed (a source that names no logged model), so
    one job's must not hold up the others'.
    """


class EndpointMissing(TrackingUnavailable):
    """There is no such URL: no MLflow server, a part that is switched off, or an older version."""


class ArtifactsNotServed(TrackingUnavailable):
    """The server does not pass artifacts on to their store: its clients write there themselves."""


class AnswerTooLarge(TrackingUnavailable):
    """MLflow's answer exceeds what the service is willing to hold in memory."""


def read_refusal(status: int, body: bytes, address: MlflowAddress) -> AsgardError:
    """The exception for an answer that is not a 2xx."""
    public_uri = address.public_uri
    refusal = _decoded(body)
    # the first line: below it MLflow quotes SQL with its parameters
    message = (refusal.message.partition("\n")[0] if refusal else "")[:MAX_MESSAGE]
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        # without a message where it stumbled itself, over its artifact store for example
        return MlflowInternalError(
            f"MLflow at {public_uri} failed:"
            f" {message or 'it answered 500 without a reason, which stands in its own log'}"
        )
    if status == HTTPStatus.UNAUTHORIZED:
        # nothing is wrong with what was asked: it waits until the administrator has set it right
        return TrackingUnavailable(_unauthorized(address))
    if status == HTTPStatus.FORBIDDEN and (refusal is None or not refusal.error_code):
        return _forbidden(body, address)
    if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or status >= 500:
        return TrackingUnavailable(f"MLflow at {public_uri} answered {status}; try again later")
    if refusal is None or not refusal.error_code or status < 400:
        kind = EndpointMissing if status == HTTPStatus.NOT_FOUND else TrackingUnavailable
        return kind(
            f"{public_uri} answered {status} and not as an MLflow server does;"
            " check [mlflow] tracking_uri"
        )
    if refusal.error_code == NO_ENDPOINT:
        return EndpointMissing(f"MLflow at {public_uri} lacks a part that is needed: {message}")
    if status == HTTPStatus.NOT_FOUND or refusal.error_code == NOT_FOUND:
        return TrackingNotFound(message)
    return MlflowRefused(message, refusal.error_code)


def refuse_unserved(status: int, body: bytes, public_uri: str) -> None:
    """Raise ArtifactsNotServed where that is what an answer about artifacts means.

    A server that is told not to serve them answers 503, one that cannot has no such URL; the 404 of
    one that does comes from the store, with an error code.
    """
    refusal = _decoded(body)
    if status == HTTPStatus.NOT_FOUND and refusal is not None:
        if refusal.error_code not in {"", NO_ENDPOINT}:
            return
    elif status == HTTPStatus.SERVICE_UNAVAILABLE and b"--serve-artifacts" not in body:
        return
    raise ArtifactsNotServed(
        f"MLflow at {public_uri} does not pass artifacts on to their store: jobs write there"
        " themselves, with credentials of their own, unless it runs with --serve-artifacts"
    )


def _decoded(body: bytes) -> Refusal | None:
    try:
        return msgspec.json.decode(body, type=Refusal, strict=False)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _unauthorized(address: MlflowAddress) -> str:
    if address.authorization is None:
        return (
            f"MLflow at {address.public_uri} asks for credentials (401);"
            " give [mlflow] username and password, or token"
        )
    return (
        f"MLflow at {address.public_uri} does not accept Asgard's credentials (401);"
        " check [mlflow] username and password, or token"
    )


def _forbidden(body: bytes, address: MlflowAddress) -> AsgardError:
    if body.strip() == DENIED_IN_WORDS:
        return MlflowRefused(
            f"MLflow at {address.public_uri} lets Asgard in but denies it this (403);"
            " give its user there the permission",
            DENIED,
        )
    # a proxy, or MLflow itself, which answers so to a host name that it does not know as its own
    return TrackingUnavailable(
        f"{address.public_uri} answered 403: something before MLflow denies access, or MLflow does"
        " not know that name as its own (its --allowed-hosts)"
    )
