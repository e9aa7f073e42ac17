"""What a job's log costs, and how soon it is seen.

    python -m benchmarks.logs [--lines 200] [--readers 100] [--megabytes 1024]

Latency: a job prints the time, a WebSocket client takes it when it sees it; beside `tail -f` on the
same file, in the same moments. Volume: a job that prints 1 GB, beside the same script into a pipe
that `cat` reads, alternating; memory of the service, also with readers that never read.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.figures import line, milliseconds
from tests.api.streams import Stream
from tests.service import WITHOUT_MLFLOW, Service, running_service

ROUNDS = 3
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


def log_of(service: Service, job_id: str) -> Path:
    return service.data_dir / "jobs" / job_id / "job.log"


async def let_go(service: Service, job_id: str) -> None:
    """Let a job go on that waits for this."""
    await service.phase(job_id, "running")
    (service.data_dir / "jobs" / job_id / "attempts" / "1" / "work" / "go").touch()


@asynccontextmanager
async def stream(service: Service, job_id: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    address = f"{service.url}/mlops/training/jobs/{job_id}/logs/ws"
    patience = aiohttp.ClientWSTimeout(ws_close=1.0)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, max_msg_size=0, timeout=patience) as socket,
    ):
        yield socket


async def finished(service: Service, job_id: str) -> None:
    await service.phase(job_id, "finished", within=600)


def memory_of(pid: int) -> int:
    """What a process holds of its own, in bytes."""
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith("RssAnon:"):
            return int(text.split()[1]) * 1024
    raise AssertionError(f"{pid} is gone")


# --- how soon -----------------------------------------------------------------------------------


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
    """`tail -f`, whose own output is read at once."""
    tail = await asyncio.create_subprocess_exec(
        *("tail", "-n", "+1", "-f", str(log)), stdout=asyncio.subprocess.PIPE, stderr=-3
    )
    assert tail.stdout is not None
    while (text := (await tail.stdout.readline()).decode()) != "done\n":
        delays += delays_in(text, time.time())
    tail.terminate()
    await tail.wait()


async def latency(service: Service, lines: int, readers: int) -> None:
    job_id = await service.submit(TICKING.format(lines=lines))
    streams: list[list[float]] = [[] for _ in range(readers)]
    tail: list[float] = []
    await service.phase(job_id, "running")  # where there is no file yet, tail looks once a second
    async with asyncio.TaskGroup() as group:
        group.create_task(see_tail(log_of(service, job_id), tail))
        for delays in streams:
            group.create_task(see_stream(service, job_id, delays))
        await asyncio.sleep(1)  # until all are connected
        await let_go(service, job_id)
    assert all(len(delays) == lines for delays in streams)
    seen = [delay for delays in streams for delay in delays]
    line(f"tail -f, while {readers} read the WebSocket", milliseconds(tail))
    line(f"WebSocket, {readers} at once", milliseconds(seen))
    line("ratio of the medians", f"{statistics.median(seen) / statistics.median(tail):.1f}")


# --- how much -----------------------------------------------------------------------------------


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
    """Seconds of the job, how much the service grew, and its id."""
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


async def volume(service: Service, folder: Path, megabytes: int) -> None:
    script = folder / "printing.py"
    script.write_text(PRINTING.format(megabytes=megabytes))
    (folder / "go").touch()
    by_cat, alone, watched, grown, grown_watched = [], [], [], [], []
    job_id = ""
    for _ in range(ROUNDS):
        by_cat.append(await into_cat(script, folder / "out"))
        seconds, growth, job_id = await into_asgard(service, script.read_text(), 0)
        alone.append(seconds)
        grown.append(growth)
        seconds, growth, job_id = await into_asgard(service, script.read_text(), IDLE_READERS)
        watched.append(seconds)
        grown_watched.append(growth)
    print(f"A job that prints {megabytes} MB in lines of 1000, {ROUNDS} times in turns (medians):")
    base = statistics.median(by_cat)
    line("python | cat > file", f"{base:5.2f} s")
    for what, figures, growths in (
        ("Asgard", alone, grown),
        (f"Asgard, {IDLE_READERS} readers that never read", watched, grown_watched),
    ):
        seconds = statistics.median(figures)
        line(what, f"{seconds:5.2f} s, ratio {seconds / base:.2f}")
        line("  memory of the service grew by at most", f"{max(growths) / MIB:.0f} MB")
    log = log_of(service, job_id)
    kept = sum(path.stat().st_blocks * 512 for path in log.parent.glob("job.log*"))
    line("disk that its log takes ([logs] max_bytes_per_job: 64)", f"{kept / MIB:.1f} MB")
    _, whole = await service.get(f"/mlops/training/jobs/{job_id}/logs", params={"limit": "100"})
    _, tail = await service.get(f"/mlops/training/jobs/{job_id}/logs", params={"tail": "1"})
    line("first and last line are there", str(whole.startswith("first") and tail == "last line\n"))


async def every_byte(service: Service) -> None:
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
    whole = sum(text == stored for text in texts)
    print(f"{BYTE_READERS} readers of one job that prints {len(stored) / MIB:.1f} MB:")
    line("readers that got every byte", f"{whole} of {BYTE_READERS}")


async def large_log(service: Service) -> None:
    """10 GB, of which the file system holds the beginning and the end."""
    job_id = await service.submit("print('first')")
    await finished(service, job_id)
    log = log_of(service, job_id)
    size, kept = 10 << 30, 32 * MIB
    with log.open("r+b") as file:
        file.seek(size - kept)
        file.write(b"".join(b"line %6d\n" % n for n in range(kept // 12)))
        end = file.tell()
    Path(f"{log}.hole").write_text(f"{kept} {size - kept}")
    path = f"/mlops/training/jobs/{job_id}/logs?tail=10"
    by_tail, by_asgard = [], []
    for _ in range(50):
        begun = time.perf_counter()
        tail = await asyncio.create_subprocess_exec("tail", "-n10", str(log), stdout=-1)
        expected, _ = await tail.communicate()
        by_tail.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        _, text = await service.get(path)
        by_asgard.append(time.perf_counter() - begun)
        assert text == expected.decode()
    print(f"The last 10 lines of a log of {end / (1 << 30):.0f} GB, 50 times in turns:")
    line("tail -n10", milliseconds(by_tail))
    line("Asgard: ?tail=10", milliseconds(by_asgard))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=1024)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = WITHOUT_MLFLOW | {"ASGARD_LOGS__STALLED_READER_SECONDS": "3600"}
        async with running_service(folder / "data", settings) as service:
            print(f"Printed → seen, {arguments.lines} lines, one every 20 ms:")
            await latency(service, arguments.lines, 1)
            await latency(service, arguments.lines, arguments.readers)
            await every_byte(service)
            await large_log(service)
            await volume(service, folder, arguments.megabytes)


if __name__ == "__main__":
    asyncio.run(main())
