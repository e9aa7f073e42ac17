"""Cost and latency of a job's log.

    python -m benchmarks.logs [--lines 200] [--readers 100] [--megabytes 256] [--rounds 3]

Latency: a job prints the time and a WebSocket client compares it with its clock, next to `tail -f`
on the same file at the same time. Volume: a job that prints much, compared with the same script
piped into `cat`; and the service's memory, also with readers that never read.
"""

import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from benchmarks.bench import Bench, run
from benchmarks.figures import Row, number, percentile
from tests.support.log_stream_client import Stream
from tests.support.service import UNREACHABLE_MLFLOW, Service, running_service

SETTINGS = UNREACHABLE_MLFLOW | {"ASGARD_LOGS__STALLED_READER_SECONDS": "3600"}
IDLE_READERS = 20
BYTE_READERS = 200
MIB = 1 << 20

TICKING = """
import os, time
while not os.path.exists("go"): time.sleep(0.01)
for _ in range({lines}):
    print(f"at {{time.time()!r}}", flush=True)
    time.sleep(0.02)
print("done")
"""

PRINTING = """
import os
while not os.path.exists("go"): pass
print("first line")
line = "x" * 1000
for _ in range({megabytes} * 1024 * 1024 // 1001):
    print(line)
print("last line")
"""


@dataclass(frozen=True)
class Size:
    """Lines per round, concurrent readers, printed MB, rounds, requests for a tail."""

    lines: int = 200
    readers: int = 100
    megabytes: int = 256
    rounds: int = 3
    tails: int = 50


def log_of(service: Service, job_id: str) -> Path:
    return service.data_dir / "jobs" / job_id / "job.log"


async def let_go(service: Service, job_id: str) -> None:
    """Let a waiting job continue."""
    await service.phase(job_id, "running")
    (service.data_dir / "jobs" / job_id / "attempts" / "1" / "work" / "go").touch()


@asynccontextmanager
async def stream(service: Service, job_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    address = f"{service.url}/mlops/training/jobs/{job_id}/logs/ws"
    close_timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, max_msg_size=0, timeout=close_timeout) as socket,
    ):
        yield socket


async def finished(service: Service, job_id: str) -> None:
    await service.phase(job_id, "finished", within=600)


def memory_of(pid: int) -> int:
    """The anonymous resident memory of a process, in bytes."""
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith("RssAnon:"):
            return int(text.split()[1]) * 1024
    raise AssertionError(f"{pid} is gone")


# --- latency --------------------------------------------------------------------------------------


def delays_in(text: str, seen: float) -> list[float]:
    return [seen - float(part[3:]) for part in text.splitlines() if part.startswith("at 1")]


async def see_stream(service: Service, job_id: str, delays: list[float]) -> None:
    async with stream(service, job_id) as socket:
        async for message in socket:
            seen = time.time()
            frame = json.loads(message.data)
            if frame["type"] == "log":
                delays += delays_in(frame["data"], seen)


async def see_tail(log: Path, delays: list[float]) -> None:
    """Follow a log with `tail -f`, whose output is read at once."""
    tail = await asyncio.create_subprocess_exec(
        *("tail", "-n", "+1", "-f", str(log)), stdout=asyncio.subprocess.PIPE, stderr=-3
    )
    assert tail.stdout is not None
    while (text := (await tail.stdout.readline()).decode()) != "done\n":
        delays += delays_in(text, time.time())
    tail.terminate()
    await tail.wait()


async def latency(service: Service, lines: int, readers: int) -> tuple[list[float], list[float]]:
    """Milliseconds until all readers, and `tail -f`, saw each line."""
    job_id = await service.submit(TICKING.format(lines=lines))
    streams: list[list[float]] = [[] for _ in range(readers)]
    tail: list[float] = []
    await service.phase(job_id, "running")  # until the file exists, tail polls once a second
    async with asyncio.TaskGroup() as group:
        group.create_task(see_tail(log_of(service, job_id), tail))
        for delays in streams:
            group.create_task(see_stream(service, job_id, delays))
        await asyncio.sleep(1)  # until all are connected
        await let_go(service, job_id)
    assert all(len(delays) == lines for delays in streams)
    seen = [delay for delays in streams for delay in delays]
    return [1000 * one for one in seen], [1000 * one for one in tail]


async def seen_rows(service: Service, size: Size) -> AsyncIterator[Row]:
    for row_id, readers in (("log-seen", 1), ("log-seen-many", size.readers)):
        rounds = [await latency(service, size.lines, readers) for _ in range(size.rounds)]
        asgard, tail = zip(*rounds, strict=True)
        crowd = "one reader" if readers == 1 else f"{readers} readers"
        p95 = [
            number(percentile([ms for one in side for ms in one], 95)) for side in (asgard, tail)
        ]
        yield Row(
            id=row_id,
            what=f"a line printed → seen over the WebSocket, {crowd}, medians of rounds",
            unit="ms",
            peer="tail -f",
            asgard=[statistics.median(one) for one in asgard],
            peer_values=[statistics.median(one) for one in tail],
            remark=f"{size.lines} lines per round, one every 20 ms; 95th percentiles: "
            f"{p95[0]} ms, {p95[1]} ms",
        )


# --- volume ---------------------------------------------------------------------------------------


async def into_cat(script: Path, target: Path) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_shell(
        f"'{sys.executable}' '{script}' | cat > '{target}'",
        cwd=script.parent,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert await process.wait() == 0
    seconds = time.perf_counter() - begun
    target.unlink()
    return seconds


async def into_asgard(service: Service, script: str, idle: int) -> tuple[float, int, str]:
    """Run a printing job; its seconds, the growth of the service in bytes, and its id."""
    job_id = await service.submit(script, timeout=3600)
    await service.phase(job_id, "running")
    before = most = memory_of(service.pid)
    async with AsyncExitStack() as stack:
        for _ in range(idle):
            socket = await stack.enter_async_context(stream(service, job_id))
            Stream(socket, 0).stop_reading()
        await let_go(service, job_id)
        begun = time.perf_counter()
        while (await service.job(job_id, logs="none"))["phase"] == "running":
            most = max(most, memory_of(service.pid))
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - begun
        await finished(service, job_id)
        most = max(most, memory_of(service.pid))
    return seconds, most - before, job_id


async def volume_rows(service: Service, folder: Path, size: Size) -> AsyncIterator[Row]:
    script = folder / "printing.py"
    script.write_text(PRINTING.format(megabytes=size.megabytes))
    (folder / "go").touch()
    by_cat, alone, watched, grown, grown_watched = [], [], [], [], []
    for _ in range(size.rounds):
        by_cat.append(await into_cat(script, folder / "out"))
        seconds, growth, job_id = await into_asgard(service, script.read_text(), 0)
        alone.append(seconds)
        grown.append(growth)
        seconds, growth, job_id = await into_asgard(service, script.read_text(), IDLE_READERS)
        watched.append(seconds)
        grown_watched.append(growth)
        _, whole = await service.get(f"/mlops/training/jobs/{job_id}/logs", params={"limit": "9"})
        _, tail = await service.get(f"/mlops/training/jobs/{job_id}/logs", params={"tail": "1"})
        assert whole.startswith("first")
        assert tail == "last line\n"
    log = log_of(service, job_id)
    kept = sum(path.stat().st_blocks * 512 for path in log.parent.glob("job.log*"))
    for row_id, what, figures, growths in (
        ("log-volume", "", alone, grown),
        (
            "log-volume-watched",
            f", {IDLE_READERS} readers that never read",
            watched,
            grown_watched,
        ),
    ):
        yield Row(
            id=row_id,
            what=f"a job that prints {size.megabytes} MB in lines of 1000{what}",
            unit="s",
            peer="python | cat > file",
            asgard=figures,
            peer_values=by_cat,
            remark=f"the service grew by at most {max(growths) / MIB:.0f} MB; {kept / MIB:.0f} MB "
            "of the log are kept, its beginning and its end",
        )


async def every_byte(service: Service) -> None:
    """Check that very many readers of one job all receive the whole log."""
    script = "import time\nfor n in range(20000):\n    print(n, '=' * (n % 99))\n"
    job_id = await service.submit(script + "    n % 200 or time.sleep(0.01)")

    async def read() -> str:
        parts = []
        async with stream(service, job_id) as socket:
            async for message in socket:
                frame = json.loads(message.data)
                parts += [frame["data"]] if frame["type"] == "log" else []
        return "".join(parts)

    texts = await asyncio.gather(*(read() for _ in range(BYTE_READERS)))
    stored = log_of(service, job_id).read_text()
    assert all(text == stored for text in texts)


async def tail_row(service: Service, requests: int) -> Row:
    """The tail of a log of 10 GB, of which the file system holds the beginning and the end."""
    job_id = await service.submit("print('first')")
    await finished(service, job_id)
    log = log_of(service, job_id)
    size, kept = 10 << 30, 32 * MIB
    with log.open("r+b") as file:
        file.seek(size - kept)
        file.write(b"".join(b"line %6d\n" % n for n in range(kept // 12)))
    Path(f"{log}.hole").write_text(f"{kept} {size - kept}")
    by_tail, by_asgard = [], []
    for _ in range(requests):
        begun = time.perf_counter()
        tail = await asyncio.create_subprocess_exec("tail", "-n10", str(log), stdout=-1)
        expected, _ = await tail.communicate()
        by_tail.append(1000 * (time.perf_counter() - begun))
        begun = time.perf_counter()
        _, text = await service.get(f"/mlops/training/jobs/{job_id}/logs?tail=10")
        by_asgard.append(1000 * (time.perf_counter() - begun))
        assert text == expected.decode()
    return Row(
        id="log-tail",
        what="the last 10 lines of a log of 10 GB",
        unit="ms",
        peer="tail -n10",
        asgard=by_asgard,
        peer_values=by_tail,
    )


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    async with running_service(folder / "data", SETTINGS) as service:
        if not wanted.isdisjoint(SEEN):
            async for row in seen_rows(service, size):
                yield row
            await every_byte(service)
        if "log-tail" in wanted:
            yield await tail_row(service, size.tails)
        if not wanted.isdisjoint(VOLUME):
            async for row in volume_rows(service, folder, size):
                yield row


SEEN, VOLUME = ("log-seen", "log-seen-many"), ("log-volume", "log-volume-watched")
BENCH = Bench(
    ids=(*SEEN, "log-tail", *VOLUME),
    measure=measure,
    full=Size(),
    quick=Size(lines=50, readers=20, megabytes=32, rounds=1, tails=10),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
