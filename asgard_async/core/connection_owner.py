"""The user at the other end of a TCP connection on this machine, as the kernel knows it."""

import ipaddress
import sys
from pathlib import Path

TABLES = {4: Path("/proc/net/tcp"), 6: Path("/proc/net/tcp6")}
ESTABLISHED = "01"


def owner_of_socket(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """Return the uid of the process that has the socket of a connection; None if unknown.

    The addresses are those of the socket in question. Reads a list of all connections, so call it
    in a thread. A socket that its process has closed belongs to nobody.
    """
    table = TABLES.get(ipaddress.ip_address(local[0]).version)
    wanted = [_as_the_kernel_writes(address) for address in (local, remote)]
    try:
        lines = table.read_text().splitlines()[1:] if table is not None else []
    except OSError:
        return None
    for line in lines:
        columns = line.split()
        if columns[1:3] == wanted and columns[3] == ESTABLISHED:
            return int(columns[7])
    return None


def _as_the_kernel_writes(address: tuple[str, int]) -> str:
    host, port = address
    packed = ipaddress.ip_address(host).packed
    words = [packed[start : start + 4] for start in range(0, len(packed), 4)]
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{text}:{port:04X}"
