"""A real systemd user instance, with its own control group and /run."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

from tests.support.eventually import eventually

SYSTEMD = Path("/lib/systemd/systemd")
HIERARCHIES = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
NAMED_HIERARCHY = Path("/sys/fs/cgroup/systemd")
"""Where control groups v1 and v2 are mixed, systemd keeps the same groups here."""


def cgroup_folder() -> Path | None:
    """The mount point of control groups v2, if this process may create groups there."""
    for folder in HIERARCHIES:
        if (folder / "cgroup.procs").exists() and os.access(folder, os.W_OK):
            return folder
    return None


def why_not_here() -> str | None:
    """The reason to skip: why no systemd can be started here."""
    if not SYSTEMD.exists():
        return "systemd is not installed here"
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "a mount namespace for systemd needs root and unshare"
    if cgroup_folder() is None:
        return "no control groups of version 2 can be made here"
    return None


class Systemd:
    """`systemd --user` with its own home directory."""

    def __init__(self, pid: int, home: Path, runtime: Path, group: Path) -> None:
        self._pid = pid
        self.group = group
        self._environ = _environ(home, runtime)
        self.units = home / ".config/systemd/user"

    def systemctl(self, *arguments: str) -> str:
        """The output of `systemctl --user`, regardless of its exit code."""
        return subprocess.run(
            ["nsenter", "--target", str(self._pid), "--mount", "systemctl", "--user", *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout.strip()

    def is_up(self) -> bool:
        """Return whether it has finished starting up."""
        return self.systemctl("is-system-running") in {"running", "degraded"}


@contextlib.asynccontextmanager
async def running_systemd(home: Path, runtime: Path) -> AsyncIterator[Systemd]:
    """A running systemd, stopped at the end with everything that it started.

    `runtime` holds its sockets: its path must be short (unix(7): 108 bytes).
    """
    parent = cgroup_folder()
    assert parent is not None
    group = parent / f"asgard-test-{os.getpid()}"
    delegated = _delegated(parent)
    group.mkdir()
    runtime.mkdir(mode=0o700)
    # its own /run: only a system booted by systemd has this directory
    start = (
        f"echo $$ > {group}/cgroup.procs && mount -t tmpfs tmpfs /run"
        f" && mkdir -p /run/systemd/system && exec {SYSTEMD} --user --log-target=console"
    )
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "--propagation", "private", "sh", "-c", start),
        env=_environ(home, runtime),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        systemd = Systemd(process.pid, home, runtime, group)
        await eventually(systemd.is_up, what="systemd is up")
        yield systemd
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        (group / "cgroup.kill").write_text("1")
        for left in (group, NAMED_HIERARCHY / group.name):
            await eventually(partial(_removed, left), what="the control group is empty")
        for controller in _delegated(parent) - delegated:
            with contextlib.suppress(OSError):  # others use it by now
                (parent / "cgroup.subtree_control").write_text(f"-{controller}")


def _delegated(group: Path) -> set[str]:
    return {*(group / "cgroup.subtree_control").read_text().split()}


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()


def _environ(home: Path, runtime: Path) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
