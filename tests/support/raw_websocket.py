"""A raw WebSocket client (RFC 6455) that can break every rule."""

import asyncio
import base64
import os
import socket
import struct
from typing import Any, Self

import msgspec

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes, *, flags: int = 0x80, masked: bool = True) -> bytes:
    """A client frame; `flags` are FIN and the reserved bits."""
    head = bytes([flags | opcode])
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += struct.pack("!BH", mask_bit | 126, size)
    else:
        head += struct.pack("!BQ", mask_bit | 127, size)
    # a mask of zeros does not change the payload
    return head + (b"\0\0\0\0" if masked else b"") + payload


class RawSocket:
    """One connection to a stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.head = ""

    @classmethod
    async def connect(cls, port: int, path: str, offset: str, protocols: str | None = None) -> Self:
        """Request an upgrade; `status` is that of the response."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self = cls(reader, writer)
        lines = [
            f"GET {path}?offset={offset} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        if protocols is not None:
            lines.append(f"Sec-WebSocket-Protocol: {protocols}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        try:
            self.head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.status = int(self.head.split()[1])
        except BaseException:
            self.abort()
            raise
        return self

    def send(self, data: bytes) -> None:
        """Write without waiting for the other end to read."""
        self._writer.write(data)

    async def document(self) -> dict[str, Any] | None:
        """The next message of the service; None if it closes the connection."""
        while True:
            try:
                first, second = await self._reader.readexactly(2)
                size = second
                if second == 126:
                    (size,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif second == 127:
                    (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
                payload = await self._reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            assert first in {0x80 | TEXT, 0x80 | CLOSE, 0x80 | PING, 0x80 | PONG}, first
            if first == 0x80 | CLOSE:
                return None
            if first == 0x80 | TEXT:
                document: dict[str, Any] = msgspec.json.decode(payload)
                return document

    def abort(self) -> None:
        """Reset the connection without a close frame."""
        connection = self._writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()
