"""The kernel's table of TCP sockets: who has a connection, and who listens on a port."""

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
ESTABLISHED, LISTENING = "01", "0A"
EVERY_ADDRESS = {4: "0.0.0.0", 6: "::"}  # noqa: S104  # compared, not bound

Address = tuple[str, int]


class _Socket(NamedTuple):
    local: str
    remote: str
    state: str
    uid: int
    inode: str


@dataclass(frozen=True, kw_only=True)
class Listener:
    """The process that listens on a port."""

    uid: int
    pid: int | None = None
    """None if this process may not know it."""
    program: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of uid {self.uid}"
        return f"{self.program} (pid {self.pid}, uid {self.uid})"


def owner_of_socket(local: Address, remote: Address) -> int | None:
    """Return the uid of the process that has the socket of a connection; None if unknown.

    The addresses are those of the socket in question. Reads a list of all connections, so call it
    in a thread. A socket that its process has closed belongs to nobody.
    """
    ends = [_as_the_kernel_writes(address) for address in (local, remote)]
    for sock in _sockets(ipaddress.ip_address(local[0]).version):
        if [sock.local, sock.remote] == ends and sock.state == ESTABLISHED:
            return sock.uid
    return None


def listener_on(address: str, port: int) -> Listener | None:
    """Return the process that listens on a port of an address; None if unknown. Blocks."""
    version = ipaddress.ip_address(address).version
    taken = {_as_the_kernel_writes((host, port)) for host in (address, EVERY_ADDRESS[version])}
    taken_by_both = _as_the_kernel_writes((EVERY_ADDRESS[6], port))  # also listens on IPv4
    for sock in (*_sockets(4), *_sockets(6)):
        if sock.state == LISTENING and sock.local in {*taken, taken_by_both}:
            return _listener(sock)
    return None


def _listener(sock: _Socket) -> Listener:
    target = f"socket:[{sock.inode}]"
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with suppress(OSError):  # it has ended, or belongs to another user
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) == target:
                    name = (process / "comm").read_text(errors="replace").strip()
                    program = "".join(one if one.isprintable() else "?" for one in name)
                    return Listener(uid=sock.uid, pid=int(process.name), program=program)
    return Listener(uid=sock.uid)


def _sockets(version: int) -> Iterator[_Socket]:
    try:
        lines = TABLES[version].read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        columns = line.split()
        yield _Socket(columns[1], columns[2], columns[3], int(columns[7]), columns[9])


def _as_the_kernel_writes(address: Address) -> str:
    host, port = address
    packed = ipaddress.ip_address(host).packed
    words = [packed[start : start + 4] for start in range(0, len(packed), 4)]
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{text}:{port:04X}"
