"""The files beside a log, written by the shim and read by the service.

`<log>.hole` contains the range of bytes that were punched out of the log: two numbers, start and
end. `<log>.times` contains the times of output: entries of two numbers, an offset and the time in
milliseconds since 1970 at which the output from that offset on was written.
"""

HOLE_SUFFIX = ".hole"
TIMES_SUFFIX = ".times"
ENTRY_BYTES = 16
"""Two unsigned 64-bit numbers in native byte order, since the file stays on the machine."""


def read_hole(path: str) -> "tuple[int, int]":
    """Return start and end of the hole in the log at `path`; (0, 0) if there is none."""
    try:
        with open(path + HOLE_SUFFIX, "rb") as file:
            start, end = file.read().split()
            return int(start), int(end)
    except (FileNotFoundError, ValueError):
        return 0, 0


def read_times(path: str) -> "memoryview[int]":
    """Return offset, time, offset, time … of the log at `path`; skip an incomplete last entry."""
    try:
        with open(path + TIMES_SUFFIX, "rb") as file:
            entries = file.read()
    except FileNotFoundError:
        entries = b""
    return memoryview(entries[: len(entries) // ENTRY_BYTES * ENTRY_BYTES]).cast("Q")
