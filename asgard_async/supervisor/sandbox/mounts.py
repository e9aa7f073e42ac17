"""The file system of a sandboxed job: read-only system and interpreter, writable directories."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

TEMPORARY = "/tmp"  # noqa: S108
Mount = tuple[str, str, str, str]
"""Kind, source, target and options; see `shim.file_system.build`."""

SYSTEM = ("bin", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr")
"""Top-level directories of a Linux system."""
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
ACCELERATORS = ("nvidia*", "dri", "kfd", "accel", "infiniband")
RESOLVER = Path("/etc/resolv.conf")
OWN_SETTINGS = "/etc/asgard"
"""May contain secrets: the service's configuration, and the variables of its systemd unit."""


def read(path: str | Path, at: str | Path | None = None) -> Mount:
    """Return a read-only mount of `path`, at the same path or at another."""
    return ("read", os.path.realpath(path), str(at or path), "")


def write(path: str | Path, at: str | Path | None = None) -> Mount:
    """Return a writable mount of `path`, at the same path or at another."""
    return ("write", os.path.realpath(path), str(at or path), "")


def system_mounts(*, tmp_mb: int, shm_mb: int) -> list[Mount]:
    """Return mounts of the read-only system, with a new /proc, /dev, /tmp and /dev/shm."""
    mounts = [
        ("tmpfs", "", TEMPORARY, f"mode=1777,size={tmp_mb}m"),
        ("directory", "", "/var", ""),
        ("link", TEMPORARY, "/var/tmp", ""),  # noqa: S108
        ("directory", "", "/run", ""),
        ("proc", "", "/proc", ""),
        ("read", "/sys", "/sys", ""),
        ("tmpfs", "", "/dev", "mode=755,size=64k"),
        ("tmpfs", "", "/dev/shm", f"mode=1777,size={shm_mb}m"),  # noqa: S108
        ("devpts", "", "/dev/pts", "newinstance,ptmxmode=0666,mode=620"),
        ("link", "pts/ptmx", "/dev/ptmx", ""),
        ("link", "/proc/self/fd", "/dev/fd", ""),
        *(("link", f"/proc/self/fd/{n}", f"/dev/{name}", "") for n, name in enumerate(_STREAMS)),
        *(("device", path, path, "") for path in _devices()),
    ]
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            mounts.append(("link", str(path.readlink()), str(path), ""))
        elif path.is_dir():
            mounts.append(read(path))
    if RESOLVER.is_symlink() and RESOLVER.exists():
        # the target is usually below /run
        mounts.append(read(RESOLVER, RESOLVER.resolve()))
    return mounts


_STREAMS = ("stdin", "stdout", "stderr")


def _devices() -> Iterator[str]:
    devices = Path("/dev")
    yield from (str(devices / name) for name in DEVICES if (devices / name).exists())
    for pattern in ACCELERATORS:
        yield from sorted(map(str, devices.glob(pattern)))


def interpreter_mounts(python: Path) -> list[Mount]:
    """Return the read-only mounts that `python` needs besides the system's directories.

    These are a virtual environment, its base interpreter, and the links between them.
    """
    base = os.path.realpath(sys.base_prefix)
    mounts = [read(path) for path in (sys.base_prefix, base, sys.base_exec_prefix)]
    if (python.parent.parent / "pyvenv.cfg").exists():
        mounts += [read(python.parent.parent), read(os.path.realpath(python.parent.parent))]
    for hop in _hops(python):
        prefix = hop.parent.parent
        # the whole prefix only if it belongs to an interpreter: ~/bin/python must not expose ~
        if os.path.realpath(prefix) == base:
            mounts.append(read(prefix))
        else:
            mounts.append(read(hop))
    return without_covered(mounts)


def _hops(path: Path) -> Iterator[Path]:
    for _ in range(40):  # the kernel's own limit
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()
        yield path


def without_covered(mounts: Iterable[Mount]) -> list[Mount]:
    """Return the read-only mounts that neither the system nor an earlier mount covers."""
    covered = [os.path.realpath(f"/{name}") for name in SYSTEM]
    remaining = []
    for mount in mounts:
        target = mount[2]
        if any(_is_below(target, shown) and target == mount[1] for shown in covered):
            continue
        remaining.append(mount)
        if mount[1] == target:
            covered.append(target)
    return remaining


def hiding(mounts: Sequence[Mount], private: Iterable[Path]) -> list[Mount]:
    """Return mounts that hide those `private` files and directories that `mounts` expose."""
    covers: dict[str, Mount] = {}
    for path in private:
        if not path.exists():
            continue
        real = os.path.realpath(path)
        for kind, source, target, _ in mounts:
            if kind not in {"read", "write"} or not _is_below(real, source):
                continue
            exposed = os.path.normpath(f"{target}/{os.path.relpath(real, source)}")
            kind = "hidden" if path.is_dir() else "blank"
            options = "mode=755,size=1m" if kind == "hidden" else ""
            covers[exposed] = (kind, "", exposed, options)
    return list(covers.values())


def _is_below(path: str, directory: str) -> bool:
    return os.path.commonpath([path, directory]) == directory
