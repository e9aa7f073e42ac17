"""A private file system for one program, built from bind mounts and new file systems.

It starts with an empty tmpfs, so only listed paths exist.
"""

import os

from . import linux

OLD = "/.old"


def build(mounts: "list[tuple[str, str, str, str]]") -> None:
    """Reduce this process's mount namespace to `mounts`: kind, source, target, options.

    read, write   `source` outside, with all mounts below it
    device        the same, for a device node
    tmpfs         an empty file system; `options` give its size and mode
    hidden        an empty read-only file system
    blank         a file that cannot be opened
    proc, devpts  new file systems of these types
    link          a symbolic link to `source`
    directory     an empty directory

    A later mount may be inside an earlier one. Set-user-ID bits have no effect, and device nodes
    work only in `device` and `devpts` mounts.

    Raises:
        OSError: the kernel refuses, or a source does not exist.
    """
    umask = os.umask(0o022)
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_SLAVE)
    # the tmpfs covers /tmp only until it becomes the root
    linux.mount("tmpfs", "/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")  # noqa: S108
    os.chdir("/tmp")  # noqa: S108
    os.mkdir(OLD[1:])
    linux.pivot_root(".", OLD[1:])
    os.chdir("/")
    # changes made here must not propagate, especially the later unmount
    linux.mount("none", OLD, "", linux.MS_REC | linux.MS_PRIVATE)
    sealed = ["/"]
    for kind, source, target, options in mounts:
        _MAKE[kind](source, target, options)
        if kind == "hidden":
            sealed.append(target)
    linux.unmount(OLD)
    os.rmdir(OLD)
    for path in sealed:
        linux.set_mount(path, linux.MOUNT_ATTR_RDONLY)
    os.umask(umask)


def _bind(source: str, target: str, attributes: int) -> None:
    outside = OLD + source
    if os.path.isdir(outside):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    linux.mount(outside, target, "", linux.MS_BIND | linux.MS_REC)
    linux.set_mount(target, attributes, recursive=True)


def _read(source: str, target: str, options: str) -> None:
    _bind(
        source, target, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
    )


def _write(source: str, target: str, options: str) -> None:
    _bind(source, target, linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV)


def _device(source: str, target: str, options: str) -> None:
    _bind(source, target, linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NOEXEC)


def _blank(source: str, target: str, options: str) -> None:
    _bind("/dev/null", target, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NODEV)


def _tmpfs(source: str, target: str, options: str) -> None:
    os.makedirs(target, exist_ok=True)
    linux.mount("tmpfs", target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)


def _proc(source: str, target: str, options: str) -> None:
    os.makedirs(target, exist_ok=True)
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("proc", target, "proc", flags)
    # settings of the whole machine are read-only, even for root
    for name in ("sys", "sysrq-trigger", "irq", "bus"):
        path = f"{target}/{name}"
        if os.path.exists(path):
            linux.mount(path, path, "", linux.MS_BIND)
            linux.set_mount(path, linux.MOUNT_ATTR_RDONLY)


def _devpts(source: str, target: str, options: str) -> None:
    os.makedirs(target, exist_ok=True)
    linux.mount("devpts", target, "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, options)


def _link(source: str, target: str, options: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.symlink(source, target)


def _directory(source: str, target: str, options: str) -> None:
    os.makedirs(target, exist_ok=True)


_MAKE = {
    "read": _read,
    "write": _write,
    "device": _device,
    "tmpfs": _tmpfs,
    "hidden": _tmpfs,
    "blank": _blank,
    "proc": _proc,
    "devpts": _devpts,
    "link": _link,
    "directory": _directory,
}
