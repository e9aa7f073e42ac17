"""Logs as the shim writes them."""

from pathlib import Path

from asgard_async.supervisor.shim.pump import Log

JOB = "0000000a"
"""The job of the fixture `log`, see tests/logs/conftest.py."""
LIMIT = 128 << 10
"""The size beyond which `write` makes a hole."""
HALF = LIMIT // 2
START = 1_700_000_000_000
"""A time in milliseconds."""


def write(log: Path, data: bytes) -> None:
    """Append to a log, in pieces as large as the shim's."""
    writer = Log(str(log), LIMIT)
    for start in range(0, len(data), writer.chunk):
        writer.write(data[start : start + writer.chunk])
    writer.close()


def write_at(log: Path, *writes: tuple[bytes, int]) -> None:
    """Append to a log; each part comes with its time in milliseconds."""
    writer = Log(str(log), 1 << 20)
    for data, at_ms in writes:
        writer.write(data, at_ms)
    writer.close()
