"""The user at the other end of a connection on the same machine, from the kernel (sock_diag(7)).

Works without /proc, which the server's sandbox does not contain.
"""

import socket
import struct

from .asgi import Scope

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI")
ANY = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
"""Any interface, no cookie."""
UID = struct.Struct("=I")
UID_OFFSET = HEADER.size + 64
RESPONSE_BYTES = 8192


def user_of(scope: Scope) -> int | None:
    """Return the uid that opened the client's end of a request's connection; None if unknown.

    Unknown are clients on other machines, and all of them if the kernel lacks inet_diag.
    """
    client, server = scope.get("client"), scope.get("server")
    if client is None or server is None:
        return None
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    try:
        query = _query(family, client, server)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as diag:
            diag.send(query)
            # the kernel has answered within send
            response = diag.recv(RESPONSE_BYTES, socket.MSG_DONTWAIT)
    except (OSError, ValueError):
        return None
    if len(response) < UID_OFFSET + UID.size or HEADER.unpack_from(response)[1] != (
        SOCK_DIAG_BY_FAMILY
    ):
        return None
    uid: int = UID.unpack_from(response, UID_OFFSET)[0]
    return uid


def _query(family: int, client: tuple[str, int], server: tuple[str, int]) -> bytes:
    addresses = [socket.inet_pton(family, end[0]).ljust(16, b"\0") for end in (client, server)]
    ports = struct.pack("!HH", client[1], server[1])
    body = REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + ports
    body += b"".join(addresses) + ANY
    return HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + body
