"""The handshake before a token is sent: the server proves that it knows the token.

A program that listens at the service's address while the service is down cannot prove that; nor can
one that relays the challenge from another loopback address, since the proof covers the address.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
import ssl
from urllib.parse import urlsplit

import aiohttp
import msgspec

from asgard_async.client.address import Address
from asgard_async.client.errors import NOT_AUTHENTICATED, AsgardError, Unauthorized

MAX_RESPONSE_BYTES = 16384
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


class HandshakeFailed(aiohttp.ClientConnectionError):
    """The service did not answer; nothing was sent to it."""


class _Identity(msgspec.Struct, kw_only=True):
    instance: str
    address: str
    proof: str | None = None


async def verify(address: Address, *, within: float) -> None:
    """Make sure that the server at an address is the client's service.

    Raises:
        HandshakeFailed: the server does not answer, or the service is stopped.
        AsgardError: it is another server, or an older service.
        Unauthorized: the service does not know the token.
    """
    nonce = secrets.token_hex(32)
    try:
        async with asyncio.timeout(within):
            (host, port), response = await _ask(address, nonce)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise HandshakeFailed(getattr(error, "strerror", None) or "no response") from error
    head, _, body = response.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if status is not None and status[1] in {b"502", b"503", b"504"}:
        raise HandshakeFailed("it is stopped or starting")
    try:
        if status is None or status[1] != b"200":
            raise _not_proved(address)
        identity = msgspec.json.decode(body, type=_Identity)
    except msgspec.MsgspecError:
        raise _not_proved(address) from None
    if address.instance and identity.instance != address.instance:
        raise AsgardError(
            f"The server at {address.url} is another Asgard, with the instance"
            f" {_printable(identity.instance)} instead of {address.instance}. Nothing was sent."
        )
    if address.secret is None:
        return
    if identity.proof is None:
        raise Unauthorized(
            f"The server at {address.url} does not know this token: it is revoked, or belongs to"
            " another Asgard. The token was not sent.",
            status=401,
            kind=NOT_AUTHENTICATED,
        )
    expected = _proof(address.secret, nonce, identity)
    if not hmac.compare_digest(expected, identity.proof.encode(errors="replace").decode()):
        raise _not_proved(address)
    if _is_relayed(identity.address, host, port):
        raise _not_proved(address)


async def _ask(address: Address, nonce: str) -> tuple[tuple[str, int], bytes]:
    """Send the challenge; return the address that was connected to, and the response."""
    parts = urlsplit(address.url)
    is_tls = parts.scheme == "https"
    context = ssl.create_default_context() if is_tls else None
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if is_tls else 80), ssl=context
    )
    try:
        peer = writer.get_extra_info("peername")[:2]
        query = f"nonce={nonce}"
        if address.secret is not None:
            query += f"&token_id={address.token_id}"
        # HTTP/1.0: the response is not sent in chunks
        writer.write(
            f"GET {parts.path}/health/instance?{query} HTTP/1.0\r\nHost: {parts.netloc}\r\n"
            "Accept: application/json\r\nConnection: close\r\n\r\n".encode()
        )
        response = bytearray()
        while len(response) < MAX_RESPONSE_BYTES and (piece := await reader.read(4096)):
            response += piece
        return peer, bytes(response)
    finally:
        writer.close()


def _proof(secret: str, nonce: str, identity: _Identity) -> str:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    text = "\n".join(("asgard-instance-1", nonce, identity.instance, identity.address))
    return hmac.new(digest.encode(), text.encode(), hashlib.sha256).hexdigest()


def _is_relayed(named: str, host: str, port: int) -> bool:
    """Return whether the proof is for another loopback address than the one connected to.

    Elsewhere the addresses may differ, because of a proxy; so may the ports, because of a tunnel.
    """
    its_host, _, its_port = named.rpartition(" ")
    try:
        ours, its = ipaddress.ip_address(host), ipaddress.ip_address(its_host)
    except ValueError:
        return True
    return ours.is_loopback and its.is_loopback and its_port == str(port) and ours != its


def _not_proved(address: Address) -> AsgardError:
    what = "token" if address.secret is not None else "request"
    return AsgardError(
        f"The server at {address.url} does not prove that it is your Asgard: another program may"
        f" listen there, or the service is older than this client. The {what} was not sent."
    )


def _printable(text: str) -> str:
    return repr(text[:64])
