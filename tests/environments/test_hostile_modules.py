"""Sources that crash the compiler, or make it use all memory and time, cost only themselves."""

import asyncio
import contextlib
import os
import stat
import sys
from pathlib import Path

import pytest

from asgard_async.environments.bytecode import PROGRAM, Effort, compile_modules
from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from asgard_async.environments.compile_program import MAX_DEPTH, MEMORY_BYTES
from tests.support.service_users import IS_ROOT

UID = 58_998 if IS_ROOT else None
MARGIN_BYTES = 16 << 20


def duplicating(depth: int) -> str:
    """A function of a kilobyte in which each level doubles the compiler's work."""
    lines = []
    for level in range(depth):
        lines += ["  " * level + "try: pass", "  " * level + "finally:"]
    lines.append("  " * depth + "x = 1; y = 2; z = 3; " * 40)
    return "def f():\n" + "".join(f"  {line}\n" for line in lines)


KEY = "0" * 20
HOSTILE = {
    "memory": duplicating(17),
    "parentheses": "(" * 100_000,
    "operators": "x = " + "-" * 200_000 + "1",
    "attributes": "x" + ".y" * 500_000,
    "chain": "x = " + "+".join("y" * 200_000),
    "elifs": "if x: pass\n" + "elif x: pass\n" * 100_000,
    "zeros": "\0" * 1000,
    "encoding": "# coding: zlib_codec\n",
    "huge": "#" * (5 << 20),
}


@pytest.fixture
def cache(tmp_path: Path) -> EnvironmentCache:
    return EnvironmentCache(tmp_path)


@pytest.fixture
def modules(cache: EnvironmentCache) -> Path:
    environment = CachedEnvironment(directory=cache.path_of(KEY))
    package = environment.modules / "package"
    package.mkdir(parents=True)
    # found before and after the hostile ones, in whatever order the directory is read
    for number in range(20):
        (package / f"good_{number}.py").write_text(f"x = {number}\n")
    environment.lock.touch()
    return package


def compiled(package: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in (package / "__pycache__").glob("*.pyc")}


def compilers() -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(PROGRAM) in (process / "cmdline").read_bytes():
                found.append(process)
    return found


@pytest.mark.slow
async def test_hostile_sources_are_skipped_within_limits(
    cache: EnvironmentCache, modules: Path
) -> None:
    for name, source in HOSTILE.items():
        (modules / f"{name}.py").write_text(source)
    work = asyncio.create_task(compile_modules(cache, KEY, Effort(), uid=UID))
    peak, uids = 0, set()
    while not work.done():
        for process in compilers():
            with contextlib.suppress(OSError, IndexError):
                status = (process / "status").read_text()
                peak = max(peak, int(status.partition("VmHWM:")[2].split()[0]) << 10)
                uids.add(process.stat().st_uid)
        await asyncio.sleep(0.02)
    await work
    assert {f"good_{number}" for number in range(20)} <= compiled(modules)
    assert "memory" not in compiled(modules)
    assert 0 < peak <= MEMORY_BYTES + MARGIN_BYTES
    if UID is not None:
        assert UID in uids
    (environment,) = cache.all()
    assert environment.is_compiled


async def test_only_real_modules_are_read_and_replaced(
    cache: EnvironmentCache, modules: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("x = 1\n")
    (modules / "link.py").symlink_to(secret)
    os.mkfifo(modules / "fifo.py")
    (modules / "directory.py").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (modules / "__pycache__").mkdir()
    tag = sys.implementation.cache_tag
    (modules / "__pycache__" / f"good_0.{tag}.pyc.new").symlink_to(victim)
    (modules / "__pycache__" / f"good_1.{tag}.pyc").symlink_to(victim)
    # as from uv's cache, which other environments share
    (modules / "__pycache__" / f"good_2.{tag}.pyc.new").hardlink_to(victim)
    await compile_modules(cache, KEY, Effort(), uid=UID)
    assert victim.read_text() == "untouched"
    assert not compiled(modules) & {"link", "fifo", "directory"}
    assert {f"good_{number}" for number in range(20)} <= compiled(modules)


async def test_very_deep_directories_are_left_out(cache: EnvironmentCache, modules: Path) -> None:
    deep = modules
    for _ in range(MAX_DEPTH + 20):
        deep /= "d"
    deep.mkdir(parents=True)
    (deep / "deep.py").touch()
    await compile_modules(cache, KEY, Effort(), uid=UID)
    assert "good_0" in compiled(modules)
    assert not (deep / "__pycache__").exists()


async def test_bytecode_is_readable_whatever_the_umask(
    cache: EnvironmentCache, modules: Path
) -> None:
    old = os.umask(0o077)
    try:
        await compile_modules(cache, KEY, Effort(), uid=UID)
    finally:
        os.umask(old)
    assert stat.S_IMODE((modules / "__pycache__").stat().st_mode) == 0o755
    assert {
        stat.S_IMODE(path.stat().st_mode) for path in (modules / "__pycache__").glob("*.pyc")
    } == {0o644}
