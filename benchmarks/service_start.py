"""How soon the service is live, and how much memory it takes, beside a bare interpreter.

python -m benchmarks.service_start [--starts 5]
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import line
from tests.service import Service


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS")) / 1e3


def bare() -> tuple[float, float]:
    """Seconds to start Python with aiohttp alone, and its memory."""
    code = "import aiohttp.web; print(flush=True); input()"
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - begun
        memory = resident_mb(process.pid)
        process.communicate(b"\n")
    return seconds, memory


async def once(data_dir: Path) -> tuple[float, float, bool]:
    """Seconds to live, memory after a job, and whether numpy or mlflow was loaded."""
    service = Service(data_dir)
    try:
        begun = time.perf_counter()
        await service.start()
        seconds = time.perf_counter() - begun
        await service.finished(await service.submit("print('x')"))
        loaded = Path(f"/proc/{service.pid}/maps").read_text()
        return seconds, resident_mb(service.pid), "numpy" in loaded
    finally:
        await service.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # each with a data directory of its own: migrations and the start of MLflow are included
        bares = [bare() for _ in range(arguments.starts)]
        starts = [await once(Path(folder) / str(n) / "data") for n in range(arguments.starts)]
    print(f"{arguments.starts} starts, each on an empty data directory, MLflow starting beside:")
    seconds = statistics.median(start[0] for start in starts)
    bare_seconds = statistics.median(start[0] for start in bares)
    line("a process that imports aiohttp.web", f"{bare_seconds:.2f} s, {bares[0][1]:.0f} MB")
    line("Asgard: started → /health/live answers (median)", f"{seconds:.2f} s")
    line("Asgard: the slowest", f"{max(start[0] for start in starts):.2f} s")
    line("ratio", f"{seconds / bare_seconds:.1f}")
    line("Asgard: resident memory after a job", f"{max(start[1] for start in starts):.0f} MB")
    line("numpy in its memory map", str(any(start[2] for start in starts)))


if __name__ == "__main__":
    asyncio.run(main())
