"""Memory of the service during a large upload, compared with a minimal handler.

    python -m benchmarks.upload_memory [--mib 1024] [--rounds 1]

Growth is the highest sample minus the memory after a small upload.
"""

import os
import time
import zipfile
from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from benchmarks.bench import Bench, run
from benchmarks.figures import Row, number
from benchmarks.memory import peaks_of, processes_running, rss_bytes
from benchmarks.peers.bare import bare_server
from tests.support.service import UNREACHABLE_MLFLOW, running_service

MIB = 1 << 20
CHECKER = "archive_program.py"
SETTINGS = {
    **UNREACHABLE_MLFLOW,
    "ASGARD_JOBS__MAX_ARCHIVE_BYTES": str(1 << 36),
    "ASGARD_JOBS__MAX_UNPACKED_BYTES": str(1 << 36),
    # only the upload is measured: the job waits behind another, and is cancelled
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
}


@dataclass(frozen=True)
class Size:
    """MiB of the archive; uploads per side."""

    mib: int = 1024
    rounds: int = 1


def write_archive(path: Path, mib: int) -> None:
    """Write a zip of a script and 16 files of random bytes, `mib` in total."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("train.py", "print('never run')\n")
        for number in range(16):
            with archive.open(f"data/{number}", "w") as member:
                for _ in range(mib // 16):
                    member.write(os.urandom(MIB))


async def upload(url: str, archive: Path) -> tuple[float, str]:
    """Upload an archive; the seconds, and the location of the job."""
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


async def growth(url: str, pid: int, archive: Path) -> tuple[float, float, str]:
    """Upload an archive; growth in MiB, seconds, and the location of the job."""
    rss = rss_bytes(pid)
    async with peaks_of(lambda: [pid]) as peaks:
        seconds, location = await upload(url, archive)
    return (peaks.rss - rss) / MIB, seconds, location


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    small, large = folder / "small.zip", folder / "large.zip"
    write_archive(small, 16)
    write_archive(large, size.mib)
    asgard, bare = [], []
    async with (
        bare_server("benchmarks.peers.bare_upload", str(folder / "bare.zip")) as server,
        running_service(folder / "data", SETTINGS) as service,
    ):
        blocker = await service.submit("import time; time.sleep(3000)", timeout=3600)
        await service.phase(blocker, "running")
        upload_url = f"{service.url}/mlops/training/upload"
        # separates the cost of any upload from that of a large one
        await upload(f"{server.url}/", small)
        await upload(upload_url, small)
        async with peaks_of(partial(processes_running, CHECKER, service.pid)) as checker:
            for _ in range(size.rounds):
                bare.append(await growth(f"{server.url}/", server.pid, large))
                asgard.append(await growth(upload_url, service.pid, large))
                await service.post(f"{asgard[-1][2]}/cancel")
        await service.post(f"/mlops/training/jobs/{blocker}/cancel")
    inspection = f"the process that inspects it takes {number(checker.rss / MIB)} MiB"
    for column, (row_id, what, unit, remark) in enumerate(
        (
            ("upload-memory", f"an archive of {size.mib} MiB: growth (RSS)", "MiB", inspection),
            ("upload-seconds", f"an archive of {size.mib} MiB: the upload", "s", ""),
        )
    ):
        yield Row(
            id=row_id,
            what=what,
            unit=unit,
            peer="bare aiohttp handler that writes it to disk",
            asgard=[float(one[column]) for one in asgard],
            peer_values=[float(one[column]) for one in bare],
            remark=remark,
        )


BENCH = Bench(
    ids=("upload-memory", "upload-seconds"), measure=measure, full=Size(), quick=Size(mib=128)
)

if __name__ == "__main__":
    run(BENCH, __doc__)
