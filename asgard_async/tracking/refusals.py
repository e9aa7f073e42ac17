"""What MLflow's refusals mean: try again later, does not exist, or wrong as it was asked."""

from http import HTTPStatus

import msgspec

from asgard_async.jobs.errors import (
    AsgardError,
    TrackingNotFound,
    TrackingRejected,
    TrackingUnavailable,
)
from asgard_async.tracking.wire import Refusal

ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"
NO_ENDPOINT = "ENDPOINT_NOT_FOUND"
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


class AnswerTooLarge(TrackingUnavailable):
    """MLflow's answer exceeds what the service is willing to hold in memory."""


def read_refusal(status: int, body: bytes, public_uri: str) -> AsgardError:
    """The exception for an answer that is not a 2xx."""
    try:
        refusal = msgspec.json.decode(body, type=Refusal, strict=False)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        refusal = None
    # the first line: below it MLflow quotes SQL with its parameters
    message = (refusal.message.partition("\n")[0] if refusal else "")[:MAX_MESSAGE]
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return MlflowInternalError(f"MLflow at {public_uri} failed: {message or 'no reason given'}")
    if status == HTTPStatus.UNAUTHORIZED:
        # nothing is wrong with what was asked: it waits until the administrator has set it right
        return TrackingUnavailable(
            f"MLflow at {public_uri} does not accept Asgard's credentials;"
            " check [mlflow] username and password, or token"
        )
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
