"""Environments are compiled to bytecode once, while jobs are running."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from asgard_async.environments.bytecode import (
    PROGRAM,
    Effort,
    compile_modules,
    plan_for,
    uncompiled,
)
from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache
from tests.support.eventually import eventually
from tests.support.processes import state_of

MANY = 5_000
KEY = "0" * 20
PARENT = """
import os, subprocess, sys
*arguments, plan = sys.argv[1:]
child = subprocess.Popen([sys.executable, *arguments, str(os.getpid()), plan])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def cache(tmp_path: Path) -> EnvironmentCache:
    return EnvironmentCache(tmp_path)


@pytest.fixture
def environment(cache: EnvironmentCache) -> CachedEnvironment:
    environment = CachedEnvironment(directory=cache.path_of(KEY))
    (environment.modules / "package").mkdir(parents=True)
    (environment.modules / "package" / "module.py").write_text("raise SystemExit('was run')\n")
    environment.lock.touch()
    return environment


def has_begun(environment: CachedEnvironment) -> bool:
    """Cheaper to repeat than `bytecode`, which walks the whole tree."""
    return (environment.modules / "package" / "__pycache__").exists()


def bytecode(environment: CachedEnvironment) -> set[str]:
    return {path.name.partition(".")[0] for path in environment.modules.rglob("*.pyc")}


async def test_modules_are_compiled_without_running(
    cache: EnvironmentCache, environment: CachedEnvironment
) -> None:
    assert [one.key for one in uncompiled(cache)] == [KEY]
    await compile_modules(cache, KEY, Effort())
    assert bytecode(environment) == {"module"}
    assert uncompiled(cache) == []


async def test_a_module_with_invalid_syntax_is_skipped(
    cache: EnvironmentCache, environment: CachedEnvironment
) -> None:
    (environment.modules / "package" / "template.py").write_text("{{ no python }\n")
    await compile_modules(cache, KEY, Effort())
    assert bytecode(environment) == {"module"}
    assert environment.is_compiled


async def test_a_compilation_out_of_time_is_continued_later(
    cache: EnvironmentCache, environment: CachedEnvironment
) -> None:
    await compile_modules(cache, KEY, Effort(seconds=0))
    assert not environment.is_compiled
    assert [one.key for one in uncompiled(cache)] == [KEY]
    await compile_modules(cache, KEY, Effort())
    assert environment.is_compiled


async def test_several_processes_compile_all_modules(
    cache: EnvironmentCache, environment: CachedEnvironment
) -> None:
    names = {f"m{number}" for number in range(50)}
    for name in names:
        (environment.modules / "package" / f"{name}.py").touch()
    await compile_modules(cache, KEY, Effort(processes=4))
    assert bytecode(environment) == {"module", *names}
    assert environment.is_compiled


async def test_a_deleted_environment_is_skipped(cache: EnvironmentCache) -> None:
    await compile_modules(cache, KEY, Effort())


@pytest.mark.slow
async def test_compiling_holds_the_environment_and_is_cancellable(
    cache: EnvironmentCache, environment: CachedEnvironment
) -> None:
    for number in range(MANY):
        (environment.modules / "package" / f"m{number}.py").touch()
    work = asyncio.create_task(compile_modules(cache, KEY, Effort()))
    await eventually(lambda: has_begun(environment))
    assert not environment.remove()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not environment.is_compiled
    assert len(bytecode(environment)) < MANY
    assert environment.remove()


@pytest.mark.slow
async def test_compiling_ends_with_the_service(
    cache: EnvironmentCache, environment: CachedEnvironment
) -> None:
    for number in range(MANY):
        (environment.modules / "package" / f"m{number}.py").touch()
    # a stand-in for the service, which is killed
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT),
        *("-I", "-S", str(PROGRAM), str(environment.modules), str(environment.compiled)),
        json.dumps(plan_for(Effort(niceness=19), uid=None)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    await eventually(lambda: has_begun(environment))
    parent.kill()
    await parent.wait()
    await eventually(lambda: state_of(child) in {"Z", None})
