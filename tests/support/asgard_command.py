"""The `asgard` command, run as a subprocess."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.eventually import SLOWNESS, eventually

DEADLINE_SECONDS = 180 * SLOWNESS


def environment(**environ: str) -> dict[str, str]:
    """The environment of the tests without Asgard's settings, plus these variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ASGARD_", "MLFLOW_"))}
    return {k: v for k, v in kept.items() if k != "NO_COLOR"} | environ


def command(*arguments: str | Path) -> list[str]:
    """The argument list of the command."""
    return [sys.executable, "-m", "asgard_async", *map(str, arguments)]


def asgard(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it exits, with only these settings in its environment."""
    return subprocess.run(
        command(*arguments),
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


class Running:
    """The running command, without a terminal; its output goes to files."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def stdout(self) -> bytes:
        return (self._folder / "stdout").read_bytes()

    @property
    def stderr(self) -> str:
        return (self._folder / "stderr").read_text("utf-8")

    async def printed(self, text: bytes) -> None:
        """Wait until stdout contains this."""
        await eventually(lambda: text in self.stdout, what=f"it prints {text!r}")

    async def reported(self, text: str) -> None:
        """Wait until stderr contains this."""
        await eventually(lambda: text in self.stderr, what=f"it reports {text!r}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it exits; return the exit code."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._process.wait()


@contextlib.asynccontextmanager
async def running(
    folder: Path, *arguments: str | Path, stdout: int | None = None, **environ: str
) -> AsyncIterator[Running]:
    """Start the command and kill it at the end. Its stdout goes to a descriptor if one is given."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *command(*arguments),
            env=environment(**environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out if stdout is None else stdout,
            stderr=err,
        )
    try:
        yield Running(process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
