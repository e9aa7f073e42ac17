"""Memory of processes, sampled from outside while they work."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

SAMPLE_SECONDS = 0.01


def pss_bytes(pid: int) -> int:
    """The proportional set size of a process: shared pages are divided; 0 if it is gone."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        if found := re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE):
            return int(found[1]) << 10
    return 0


def rss_bytes(pid: int) -> int:
    """Resident memory; 0 if the process is gone."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/status").read_text()
        if found := re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE):
            return int(found[1]) << 10
    return 0


def pss_mb(pids: Iterable[int]) -> float:
    """The PSS of several processes together, in MB."""
    return sum(map(pss_bytes, pids)) / 1e6


def with_descendants(pid: int) -> set[int]:
    """A process and its descendants, except those that were reparented."""
    found, waiting = set[int](), [pid]
    while waiting:
        found.add(one := waiting.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return found


def processes_running(program: str, parent: int) -> list[int]:
    """Children of `parent` whose command line names `program`."""
    pids = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(OSError):
            for pid in map(int, (task / "children").read_text().split()):
                with contextlib.suppress(OSError):
                    if program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                        pids.append(pid)
    return pids


class Peaks:
    """The highest samples, in bytes."""

    rss = 0
    pss = 0
    samples = 0


@contextlib.asynccontextmanager
async def peaks_of(pids: Callable[[], Iterable[int]]) -> AsyncIterator[Peaks]:
    """Sample the processes' combined memory until the context is left."""
    peaks = Peaks()

    async def watch() -> None:
        while True:
            present = list(pids())
            peaks.rss = max(peaks.rss, sum(map(rss_bytes, present)))
            peaks.pss = max(peaks.pss, sum(map(pss_bytes, present)))
            peaks.samples += 1
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(watch(), name="memory")
    try:
        yield peaks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
