"""Attempts that run scripts."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from asgard_async.domain.attempt import Ended
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.keeper_server import KeeperServer
from asgard_async.supervisor.process_spec import READABLE_UMASK, process_spec
from asgard_async.supervisor.shim import files
from asgard_async.supervisor.shim.process_spec import ProcessSpec


class StartedAttempt:
    """An attempt with a script in its own directory."""

    def __init__(self, directory: Path, server: KeeperServer | None) -> None:
        self.directory = directory
        self.server = server
        self.attempt = Attempt(directory)
        (directory / "work").mkdir(parents=True)

    def spec(self, script: str, **changes: Any) -> ProcessSpec:
        (self.directory / "work" / "train.py").write_text(script)
        spec = process_spec(
            directory=self.directory,
            argv=[sys.executable, "train.py"],
            environment={"PYTHONUNBUFFERED": "1", "MARK": str(self.directory)},
            working_directory=self.directory / "work",
            umask=READABLE_UMASK,
            log=self.log,
            log_limit_bytes=1 << 20,
            timeout_seconds=30,
            grace_seconds=0.3,
        )
        spec.update(changes)  # type: ignore[typeddict-item]
        return spec

    async def run(self, script: str, **changes: Any) -> Ended:
        await self.start(self.spec(script, **changes))
        return await self.attempt.wait()

    async def start(self, spec: ProcessSpec) -> datetime | None:
        return await self.attempt.start(spec, self.server)

    @property
    def log(self) -> Path:
        return self.directory / "job.log"

    def output(self) -> str:
        return self.log.read_text()

    def pids(self) -> dict[str, int]:
        facts = msgspec.json.decode((self.directory / files.PID).read_bytes())
        keeper = int((self.directory / files.LOCK).read_text().split()[0])
        return {"keeper": keeper, "shim": facts["shim_pid"], "job": facts["job_pid"]}
