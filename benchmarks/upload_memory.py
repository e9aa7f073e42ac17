"""Memory of the service during the upload of a large archive, beside a bare aiohttp handler.

    python -m benchmarks.upload_memory [--mib 1024]

The archive holds random bytes, stored. Both write it to the disk; Asgard also reads it through,
in a process of its own, before it answers. Peaks are those of samples of /proc every 10 ms.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp

from benchmarks.figures import line
from benchmarks.memory import peaks_of, processes_running, pss_bytes, rss_bytes
from tests.eventually import eventually
from tests.service import WITHOUT_MLFLOW, free_port, running_service

MIB = 1 << 20
CHECKER = "archive_program.py"
SETTINGS = {
    **WITHOUT_MLFLOW,
    "ASGARD_JOBS__MAX_ARCHIVE_BYTES": str(1 << 36),
    "ASGARD_JOBS__MAX_UNPACKED_BYTES": str(1 << 36),
    # what is measured is the upload: the job waits behind another, and is cancelled
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
}


def write_archive(path: Path, mib: int) -> None:
    """A zip of a script and 16 files of random bytes, together `mib`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("train.py", "print('never run')\n")
        for number in range(16):
            with archive.open(f"data/{number}", "w") as member:
                for _ in range(mib // 16):
                    member.write(os.urandom(MIB))


async def upload(url: str, archive: Path) -> tuple[float, str]:
    """Upload an archive; the seconds that it took, and where the job is."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in (("experiment_name", "x"), ("model_name", "x"), ("entrypoint", "train.py")):
        form.add_field(name, value)
    timeout = aiohttp.ClientTimeout(total=600)
    with archive.open("rb") as content:
        form.add_field("archive", content, filename=archive.name)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            begun = time.perf_counter()
            async with session.post(url, data=form) as response:
                assert response.status == 202, await response.text()
                return time.perf_counter() - begun, response.headers.get("Location", "")


@contextlib.asynccontextmanager
async def bare_server(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """The bare handler in a process of its own: its address and pid."""
    port = free_port()
    command = ("-m", "benchmarks.bare_upload", str(port), str(folder / "bare.zip"))
    process = await asyncio.create_subprocess_exec(sys.executable, *command)

    async def is_up() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    try:
        await eventually(is_up, what="the bare handler listens")
        yield f"http://127.0.0.1:{port}/", process.pid
    finally:
        process.terminate()
        await process.wait()
        (folder / "bare.zip").unlink(missing_ok=True)


async def measured(what: str, url: str, pid: int, small: Path, large: Path) -> tuple[int, str]:
    """Upload, print how much the process grew and how long it took; the growth of its RSS."""
    await upload(url, small)  # what any upload costs is not what a large one costs
    rss, pss = rss_bytes(pid), pss_bytes(pid)
    async with peaks_of(lambda: [pid]) as peaks:
        seconds, location = await upload(url, large)
    grown = peaks.rss - rss
    shown = f"RSS {rss / MIB:5.1f} + {grown / MIB:5.1f} MiB   PSS + {(peaks.pss - pss) / MIB:5.1f}"
    line(what, f"{shown} MiB   {seconds:5.1f} s   ({peaks.samples} samples)")
    return grown, location


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    mib: int = parser.parse_args().mib
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small.zip", folder / "large.zip"
        write_archive(small, 16)
        write_archive(large, mib)
        print(f"An archive of {large.stat().st_size / MIB:.0f} MiB; memory before, and growth:")
        async with bare_server(folder) as (url, pid):
            await measured("bare aiohttp handler, writes to the disk", url, pid, small, large)
        async with running_service(folder / "data", SETTINGS) as service:
            blocker = await service.submit("import time; time.sleep(3000)", timeout=3600)
            await service.phase(blocker, "running")
            checkers = partial(processes_running, CHECKER, service.pid)
            async with peaks_of(checkers) as checker:
                grown, location = await measured(
                    "Asgard: the service",
                    f"{service.url}/mlops/training/upload",
                    service.pid,
                    small,
                    large,
                )
            figure = f"RSS {checker.rss / MIB:5.1f} MiB at most   PSS {checker.pss / MIB:5.1f} MiB"
            line("Asgard: the process that reads it through", figure)
            line("Asgard: the service grew by less than 30 MiB", str(grown < 30 * MIB))
            await service.post(f"{location}/cancel")
            await service.post(f"/mlops/training/jobs/{blocker}/cancel")


if __name__ == "__main__":
    asyncio.run(main())
