"""Tests of isolation levels: a small program runs at the level, confined like a job."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asgard_async.core.files.chown_tree import chown_tree
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.domain.attempt import End, Ended
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.process_spec import READABLE_UMASK, process_spec, service_python
from asgard_async.supervisor.sandbox.builder import SandboxBuilder
from asgard_async.supervisor.sandbox.mounts import write
from asgard_async.supervisor.shim import landlock

TIMEOUT_SECONDS = 30.0
LOG_LIMIT_BYTES = 1 << 16

PROGRAM = """
import os, sys
level, uid, secret = sys.argv[1:]
def fail(text):
    print(text, end="")
    raise SystemExit(1)
open("written", "w").close()
try:
    open(secret).close()
except OSError:
    pass
else:
    fail("the service's own files can be read")
if level != "user" and int(dict(
    line.split(":", 1) for line in open("/proc/self/status")
)["CapPrm"], 16):
    fail("the process keeps capabilities")
if os.getuid() != int(uid):
    fail("the process runs as the wrong user")
if level == "sandbox" and len([name for name in os.listdir("/proc") if name.isdigit()]) > 2:
    fail("the process sees processes outside")
"""


class Prober:
    """Tests isolation levels, in temporary directories below `directory`."""

    def __init__(self, builder: SandboxBuilder, *, directory: Path, uid: int) -> None:
        """`uid` is used if the service is root."""
        self._builder = builder
        self._directory = directory
        self._uid = uid if os.geteuid() == 0 else None

    async def problem(self, level: Isolation) -> str | None:
        """Return why a level does not work here, as the end of a sentence; None if it works."""
        if level is Isolation.PROCESS:
            return None
        if level is Isolation.USER and self._uid is None:
            return "the service is not root, so it cannot run jobs as other users"
        if level is Isolation.SANDBOX_LITE and not landlock.abi():
            return "the kernel has no Landlock, or it is missing from its security modules (lsm=)"
        try:
            with self._temporary_directory(level) as directory:
                ended = await self._run(level, directory)
                return _problem(ended, directory / "job.log")
        except OSError as error:
            return f"it could not be tested: {error}"

    @contextlib.contextmanager
    def _temporary_directory(self, level: Isolation) -> Iterator[Path]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=f"{level}-", dir=self._directory))
        try:
            (directory / "secret").touch(mode=0o600)
            (directory / "work").mkdir(mode=0o700)
            if self._uid is not None:
                chown_tree(directory / "work", self._uid)
            if level in {Isolation.USER, Isolation.SANDBOX_LITE}:
                directory.chmod(0o711)
            yield directory
        finally:
            remove_tree(directory)

    async def _run(self, level: Isolation, directory: Path) -> Ended:
        work = directory / "work"
        uid = os.geteuid() if self._uid is None else self._uid
        spec = process_spec(
            directory=directory,
            argv=service_python("-c", PROGRAM, level.value, str(uid), directory / "secret"),
            working_directory=work,
            umask=READABLE_UMASK,
            log=directory / "job.log",
            log_limit_bytes=LOG_LIMIT_BYTES,
            timeout_seconds=TIMEOUT_SECONDS,
            sandbox=self._builder.sandbox(
                level, python=Path(sys.executable), mounts=[write(work)], uid=self._uid
            ),
        )
        attempt = Attempt(directory)
        await attempt.start(spec)
        return await attempt.wait()


def _problem(ended: Ended, log: Path) -> str | None:
    if ended.end is End.EXITED and ended.exit_code == 0:
        return None
    if ended.error is not None and ended.error.startswith("PermissionError"):
        # the kernel does not report the cause; this is the likely one
        return f"{ended.error}: other users cannot reach the interpreter or the data directory"
    if ended.error is not None:
        return ended.error
    output = log.read_text(errors="replace").strip().rpartition("\n")[2] if log.exists() else ""
    return output or f"the test program exited with {ended.signal or ended.exit_code}"
