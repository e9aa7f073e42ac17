"""task-spooler: Debian's package, unpacked below `.bench/` if it is not installed."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.peers import INSTALLED, PeerMissing


def installed() -> Path:
    """The `tsp` program: the machine's own, otherwise the package's.

    Raises:
        PeerMissing: It is not installed, and apt-get cannot download it.
    """
    home = INSTALLED / "task-spooler"
    found = shutil.which("tsp") or shutil.which("tsp", path=str(home / "usr" / "bin"))
    if found:
        return Path(found)
    home.mkdir(parents=True, exist_ok=True)
    print("  (unpacking task-spooler into .bench/task-spooler)", file=sys.stderr, flush=True)
    try:
        # without root and without changing the machine: only the files, no installation
        for command in (
            ("apt-get", "download", "--quiet", "task-spooler"),
            ("sh", "-c", "dpkg-deb --extract task-spooler_*.deb ."),
        ):
            subprocess.run(command, cwd=home, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise PeerMissing(f"tsp is not installed, and {error.filename} was not found") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip()[-200:]
        raise PeerMissing(f"tsp is not installed, and apt-get failed: {reason}") from error
    return home / "usr" / "bin" / "tsp"


class TaskSpooler:
    """A spooler with a socket of its own."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = str(program)
        self._environment = {
            **os.environ,
            "TS_SOCKET": str(folder / "socket"),
            "TMPDIR": str(folder),
        }

    async def call(self, *arguments: str) -> str:
        """Run `tsp` to its end; return its output."""
        process = await asyncio.create_subprocess_exec(
            *(self._program, *arguments), env=self._environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, arguments
        return output.decode().strip()

    async def run_all(self, *command: str, times: int) -> None:
        """Queue a command this many times, and wait for all of them."""
        numbers = [await self.call(*command) for _ in range(times)]
        for number in numbers:
            await self.call("-w", number)


@contextlib.asynccontextmanager
async def task_spooler(folder: Path, slots: int) -> AsyncIterator[TaskSpooler]:
    """Run a spooler with this many slots.

    Raises:
        PeerMissing: It is not available on this machine.
    """
    program = await asyncio.to_thread(installed)
    folder.mkdir()
    spooler = TaskSpooler(program, folder)
    try:
        await spooler.call("-S", str(slots))
        yield spooler
    finally:
        await spooler.call("-K")
