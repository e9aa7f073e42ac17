"""The HTTP session with an MLflow server, with limits on time and size."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from asgard_async.domain.errors import AsgardError, TrackingUnavailable
from asgard_async.mlflow import wire
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.refusals import ResponseTooLarge, read_refusal, refuse_unserved

API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MAX_RESPONSE_BYTES = 8 * 1024 * 1024
SMALL_RESPONSE_BYTES = 256 * 1024
"""Only one response at a time may be larger."""
# MLflow's own server closes idle connections after 5 s; closing them earlier here avoids sending a
# request over a connection that is about to be closed
KEEPALIVE_SECONDS = 4.0
MAX_CONNECTIONS = 16

ResponseT = TypeVar("ResponseT", bound=wire.WireObject)


class MlflowConnection:
    """A connection to an MLflow server. Use it as an asynchronous context manager.

    Every method raises TrackingUnavailable (no response, or one that is not MLflow's),
    TrackingNotFound, or TrackingRejected (with MLflow's message).
    """

    def __init__(
        self,
        address: MlflowAddress,
        *,
        timeout_seconds: float,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._max_response_bytes = max_response_bytes
        self._session: aiohttp.ClientSession | None = None
        self._large_response = asyncio.Lock()

    @property
    def address(self) -> MlflowAddress:
        """The server's address with its credentials."""
        return self._address

    def move_to(self, address: MlflowAddress) -> None:
        """Send requests to another address from now on."""
        self._address = address

    @property
    def public_uri(self) -> str:
        """The server's address without credentials."""
        return self._address.public_uri

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS
            ),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        kind: type[ResponseT],
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> ResponseT:
        """Call `path` of the REST API and decode the JSON response as `kind`."""
        return (await self._request(method, path, kind, params=params, body=body))[0]

    async def _request(
        self,
        method: str,
        path: str,
        kind: type[ResponseT],
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[ResponseT, int]:
        """Return the decoded response and its length."""
        url_path = path if path.startswith("/") else API + path
        status, content = await self._exchange(method, url_path, params=params, body=body)
        if status != HTTPStatus.OK:
            raise self._refusal(status, content)
        try:
            # not strict: some servers write 64-bit numbers as strings
            return msgspec.json.decode(content, type=kind, strict=False), len(content)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise TrackingUnavailable(
                f"{self.public_uri} does not respond like an MLflow server;"
                " check [mlflow] tracking_uri"
            ) from None

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, bytes]:
        if self._session is None or self._session.closed:
            raise TrackingUnavailable("The connection to MLflow is closed")
        headers = {} if body is None else {"Content-Type": "application/json"}
        if (authorization := self._address.authorization) is not None:
            headers["Authorization"] = authorization
        try:
            async with self._session.request(
                method,
                self.public_uri + path,
                params=params,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
                # a redirect could carry the credentials to another host
                allow_redirects=False,
            ) as response:
                return response.status, await self._read_bounded(response)
        except TimeoutError:
            raise TrackingUnavailable(
                f"MLflow at {self.public_uri} did not answer within {self._timeout_seconds:g} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            # neither chained nor quoted: aiohttp's exceptions contain the request's headers
            raise TrackingUnavailable(
                f"MLflow at {self.public_uri} cannot be reached ({type(error).__name__})"
            ) from None

    async def _read_bounded(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        await self._read_up_to(SMALL_RESPONSE_BYTES, response, content)
        if len(content) > SMALL_RESPONSE_BYTES:
            # meanwhile, the others stay in the kernel's buffers
            async with self._large_response:
                await self._read_up_to(self._max_response_bytes, response, content)
        return bytes(content)

    async def _read_up_to(
        self, size: int, response: aiohttp.ClientResponse, content: bytearray
    ) -> None:
        """Read until the end of the response, or until more than `size` bytes are read."""
        while len(content) <= size and (chunk := await response.content.readany()):
            content += chunk
            if len(content) > self._max_response_bytes:
                raise ResponseTooLarge(
                    f"MLflow's response is larger than {self._max_response_bytes} bytes"
                )

    async def health(self) -> None:
        """Check that the server reports itself healthy."""
        status, content = await self._exchange("GET", "/health")
        if status != HTTPStatus.OK:
            raise self._refusal(status, content)

    async def check_artifact_store(self) -> None:
        """Check that the server can list a directory of its artifact store.

        Raises:
            ArtifactsNotServed: the server leaves access to the store to its clients.
            AsgardError: the store refuses access, or MLflow does not answer.
        """
        # the directory need not exist: MLflow accesses the store either way
        status, content = await self._exchange("GET", ARTIFACTS, params={"path": "asgard"})
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE}:
            refuse_unserved(status, content, self.public_uri)
        if status != HTTPStatus.OK:
            raise self._refusal(status, content)

    def _refusal(self, status: int, content: bytes) -> AsgardError:
        # a proxy may quote the headers, and its message goes to clients and into the log
        return read_refusal(status, self._address.without_credentials(content), self._address)
