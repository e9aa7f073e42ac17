"""Whether a rung works here: a tiny program is really run on it, as a job would be."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asgard_async.domain.attempt import End, Ended
from asgard_async.domain.status import Isolation
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.sandbox.builder import SandboxBuilder
from asgard_async.supervisor.sandbox.mounts import write
from asgard_async.supervisor.sandbox.uids import give
from asgard_async.supervisor.shim import landlock
from asgard_async.supervisor.shim.process_spec import ProcessSpec

SECONDS = 30.0

PROGRAM = """
import os, sys
rung, uid, secret = sys.argv[1:]
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
if rung != "user" and int(dict(
    line.split(":", 1) for line in open("/proc/self/status")
)["CapPrm"], 16):
    fail("capabilities are left")
if os.getuid() != int(uid):
    fail("it runs as another user than it should")
if rung == "sandbox" and len([name for name in os.listdir("/proc") if name.isdigit()]) > 2:
    fail("other processes are seen")
"""


class Prober:
    """Tries rungs, in a directory of its own below `directory`."""

    def __init__(self, builder: SandboxBuilder, *, directory: Path, uid: int) -> None:
        """`uid` is used where the service is root."""
        self._builder = builder
        self._directory = directory
        self._uid = uid if os.geteuid() == 0 else None

    async def problem(self, level: Isolation) -> str | None:
        """Why a rung does not work here, as the end of a sentence; None if it does."""
        if level is Isolation.PROCESS:
            return None
        if level is Isolation.USER and self._uid is None:
            return "the service is not root, and so cannot run jobs as other users"
        if level is Isolation.SANDBOX_LITE and not landlock.abi():
            return "the kernel has no Landlock, or it is not among its security modules (lsm=)"
        try:
            with self._place(level) as place:
                ended = await self._run(level, place)
                return _problem(ended, place / "job.log")
        except OSError as error:
            return f"it could not be tried: {error}"

    @contextlib.contextmanager
    def _place(self, level: Isolation) -> Iterator[Path]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{level}-", dir=self._directory))
        try:
            (place / "secret").touch(mode=0o600)
            (place / "work").mkdir(mode=0o700)
            if self._uid is not None:
                give(place / "work", self._uid)
            if level in {Isolation.USER, Isolation.SANDBOX_LITE}:
                place.chmod(0o711)
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    async def _run(self, level: Isolation, place: Path) -> Ended:
        attempt = Attempt(place)
        work, python = place / "work", Path(sys.executable)
        uid = os.geteuid() if self._uid is None else self._uid
        spec = ProcessSpec(
            directory=str(place),
            argv=[
                *(sys.executable, "-I", "-S", "-c", PROGRAM),
                *(level.value, str(uid), str(place / "secret")),
            ],
            environment={"PATH": os.defpath, "LANG": "C.UTF-8"},
            working_directory=str(work),
            umask=0o022,
            log=str(place / "job.log"),
            log_limit=1 << 16,
            timeout=SECONDS,
            grace=0.0,
            memory_limit=0,
            open_files=0,
            held=[],
            inherit=[],
        )
        sandbox = self._builder.sandbox(level, python=python, mounts=[write(work)], uid=self._uid)
        if sandbox is not None:
            spec["sandbox"] = sandbox
        await attempt.start(spec)
        return await attempt.wait()


def _problem(ended: Ended, log: Path) -> str | None:
    if ended.end is End.EXITED and ended.exit_code == 0:
        return None
    if ended.error is not None and ended.error.startswith("PermissionError"):
        # the likely cause, which the kernel does not name
        return f"{ended.error}: other users do not reach the interpreter, or the data directory"
    if ended.error is not None:
        return ended.error
    said = log.read_text(errors="replace").strip().rpartition("\n")[2] if log.exists() else ""
    return said or f"what was tried ended with {ended.signal or ended.exit_code}"
