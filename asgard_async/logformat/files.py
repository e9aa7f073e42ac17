"""What lies beside the text of a log, as the shim writes it and the service reads it.

`<log>.hole` tells which bytes were punched out of the file: two numbers, start and end.
`<log>.times` tells when which byte was written: entries of two numbers, an offset and the
milliseconds since 1970 at which the output from there on was written.
"""

HOLE_SUFFIX = ".hole"
TIMES_SUFFIX = ".times"
ENTRY_BYTES = 16
"""Two unsigned numbers in the machine's own order: the file does not leave the machine."""


def read_hole(path: str) -> "tuple[int, int]":
    """Start and end of the hole in the log at `path`; (0, 0) where there is none."""
    try:
        with open(path + HOLE_SUFFIX, "rb") as file:
            start, end = file.read().split()
            return int(start), int(end)
    except (FileNotFoundError, ValueError):
        return 0, 0


def read_times(path: str) -> "memoryview[int]":
    """Offset, time, offset, time … of the log at `path`, in order, but for a torn last entry."""
    try:
        with open(path + TIMES_SUFFIX, "rb") as file:
            entries = file.read()
    except FileNotFoundError:
        entries = b""
    return memoryview(entries[: len(entries) // ENTRY_BYTES * ENTRY_BYTES]).cast("Q")
