"""Three ways to start a script: manually, cold, and forked from a warm interpreter."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asgard_async.config import load_config
from asgard_async.core.files.chown_tree import chown_tree
from asgard_async.domain.status import Isolation
from asgard_async.executors.local.warm.server import ForkServer
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.keeper_server import ColdServers, KeeperServer
from asgard_async.supervisor.process_spec import READABLE_UMASK, process_spec
from asgard_async.supervisor.sandbox.builder import SandboxBuilder
from asgard_async.supervisor.sandbox.mounts import write
from asgard_async.supervisor.shim.sandbox import SandboxSpec
from tests.support.service import FIRST_UID

PLACE = "<place>"
OWN = ("work", "home", "tmp")
LEVEL = Isolation(os.environ.get("ASGARD_FIDELITY_LEVEL", "process"))
"""The isolation level of cold and warm starts; set it to `sandbox` to try that as well."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A script and the files beside it."""

    script: str
    name: str = "train.py"
    files: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The observable result of a start. Paths of the working directory are normalized."""

    output: str
    """Standard output and error, in order."""
    exit_code: int
    """Negative if a signal ended it."""
    files: Mapping[str, str]


def by_hand(case: Case, place: Path) -> Observation:
    """`PYTHONUNBUFFERED=1 python train.py`."""
    _lay_out(case, place)
    done = subprocess.run(
        [sys.executable, _argument(case.name), *case.arguments],
        cwd=place / "work",
        env=variables(case, place),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        umask=0o022,
        start_new_session=True,
        check=False,
        timeout=120,
    )
    return _observed(done.stdout, done.returncode, place)


async def by_shim(case: Case, place: Path, server: ForkServer | None) -> Observation:
    """Start cold, or forked from `server`."""
    cold = ColdServers()
    try:
        return await _by_keeper(case, place, server or cold.server())
    finally:
        cold.close()


async def _by_keeper(case: Case, place: Path, server: KeeperServer | None) -> Observation:
    await asyncio.to_thread(_lay_out, case, place)
    attempt = place / "attempt"
    attempt.mkdir()
    spec = process_spec(
        directory=attempt,
        argv=[sys.executable, _argument(case.name), *case.arguments],
        environment=variables(case, place),
        working_directory=place / "work",
        umask=READABLE_UMASK,
        log=place / "log",
        log_limit_bytes=1 << 24,
        timeout_seconds=120,
        grace_seconds=1,
    )
    if LEVEL is not Isolation.PROCESS:
        spec["sandbox"] = _sandbox(case, place)
    started = Attempt(attempt)
    await started.start(spec, server)
    ended = await started.wait()
    assert "cold_reason" not in spec, "the server of keepers was lost"
    shim_log = (attempt / "shim.log").read_text()
    assert shim_log == ""
    code = ended.exit_code if ended.signal is None else -ended.signal
    assert code is not None, ended
    return _observed((place / "log").read_bytes(), code, place)


def _sandbox(case: Case, place: Path) -> SandboxSpec:
    """The sandbox of a job that may write wherever a manually started script may."""
    uid = None
    if os.geteuid() == 0:
        uid = FIRST_UID
        for name in OWN:
            chown_tree(place / name, uid)
    config = load_config(environ={}).isolation
    caches = Path(variables(case, place)["MPLCONFIGDIR"])
    caches.mkdir(exist_ok=True)
    caches.chmod(0o777)
    mounts = [write(place / name) for name in OWN] + [write(caches)]
    sandbox = SandboxBuilder(config, private=[]).sandbox(
        LEVEL, python=Path(sys.executable), mounts=mounts, uid=uid
    )
    assert sandbox is not None
    return sandbox


def variables(case: Case, place: Path) -> dict[str, str]:
    """The environment variables of a script."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "LANG": "C.UTF-8",
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "MPLCONFIGDIR": str(place.parent / "matplotlib"),
        **case.variables,
    }


def _argument(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _lay_out(case: Case, place: Path) -> None:
    for name in OWN:
        (place / name).mkdir(parents=True)
    for name, text in {**case.files, case.name: case.script}.items():
        (place / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "work" / name).write_text(text)


def _observed(output: bytes, code: int, place: Path) -> Observation:
    work = place / "work"
    files = {
        str(path.relative_to(work)): _alike(path.read_text(errors="replace"), place)
        for path in sorted(work.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return Observation(
        output=_alike(output.decode(errors="replace"), place), exit_code=code, files=files
    )


def _alike(text: str, place: Path) -> str:
    """Remove what differs between manual starts, too: the directory, addresses, and the process id
    in Python 3.12's warning about forking with threads."""
    text = re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", text.replace(str(place), PLACE))
    return re.sub(r"\(pid=\d+\)", "(pid=…)", text)
