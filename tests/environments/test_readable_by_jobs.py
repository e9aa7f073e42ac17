"""Jobs read the files of their environments, and find the bytecode of every module."""

import asyncio
import os
import py_compile
import stat
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source
from marshal import loads
from pathlib import Path

import pytest

from asgard_async.environments.compile_program import Header, OwnPackages
from asgard_async.environments.publish import Venv
from tests.support.package_index import package_index
from tests.support.service_users import IS_ROOT, isolating_service
from tests.support.wheels import make_wheel

MODULES = [f"part_{number}" for number in range(40)]
SCRIPT = f"""
from importlib.machinery import SourceFileLoader

compiled = []
compile_source = SourceFileLoader.source_to_code

def counted(self, data, path, **options):
    compiled.append(path)
    return compile_source(self, data, path, **options)

SourceFileLoader.source_to_code = counted
import mlflow, many
from many_parts import {", ".join(MODULES)}
print("compiled", compiled)
"""
USERS = [
    pytest.param("root", marks=pytest.mark.skipif(not IS_ROOT, reason="not run by root")),
    "ordinary",
]


@pytest.mark.service
@pytest.mark.parametrize("who", USERS)
async def test_the_first_jobs_of_an_environment_compile_nothing(tmp_path: Path, who: str) -> None:
    with package_index(tmp_path / "packages") as index:
        parts = {f"many_parts/{name}.py": f"name = {name!r}\n" for name in ("__init__", *MODULES)}
        make_wheel(tmp_path / "packages", "many", "", further=parts)
        settings = {
            "ASGARD_WARM__ENABLED": "false",
            "ASGARD_ENVIRONMENTS__INDEX_URL": index,
        }
        async with isolating_service("auto", who, tmp_path, **settings) as service:

            async def last_line() -> str:
                job_id = await service.submit(SCRIPT, requirements=["many"])
                job = await service.finished(job_id)
                assert job["status"] == "completed", job
                return str(job["logs"].splitlines()[-1])

            assert set(await asyncio.gather(last_line(), last_line())) == {"compiled []"}


def test_files_are_readable_whatever_their_modes(tmp_path: Path) -> None:
    venv_directory = tmp_path / "venv"
    venv_directory.mkdir(mode=0o700)
    (venv_directory / "pyvenv.cfg").touch()
    venv = Venv(str(venv_directory))
    modes = {"file": (0o600, 0o644), "program": (0o4700, 0o755), "directory": (0o700, 0o755)}
    for name, (before, _) in modes.items():
        path = venv_directory / name
        if name == "directory":
            path.mkdir()
        else:
            path.touch()
        path.chmod(before)
    venv.take(str(tmp_path / "final"), -1)
    for name, (_, after) in modes.items():
        assert stat.S_IMODE((tmp_path / "final" / name).stat().st_mode) == after, name
    assert stat.S_IMODE((tmp_path / "final").stat().st_mode) == 0o755


def test_bytecode_of_equal_modules_is_copied(tmp_path: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = tmp_path / "own" / "lib" / version / "site-packages"
    modules = tmp_path / "environment" / "lib"
    own.mkdir(parents=True)
    own_module = own / "module.py"
    own_module.write_text("x = 1\n")
    py_compile.compile(str(own_module), doraise=True)
    # other bytecode than the compiler would produce shows where it comes from
    times = own_module.stat()
    own_module.write_text("x = 2\n")
    os.utime(own_module, ns=(times.st_atime_ns, times.st_mtime_ns))
    packages = OwnPackages(str(own), str(modules))
    path = str(modules / version / "site-packages" / "module.py")

    found: dict[str, int] = {}
    exec(loads(packages.code_of(path, b"x = 2\n")), found)  # noqa: S102, S302
    assert found["x"] == 1
    assert packages.code_of(path, b"x = 3\n") == b""
    assert packages.code_of(str(modules / "module.py"), b"x = 2\n") == b""
    os.utime(own_module, (0, 0))  # outdated
    assert packages.code_of(path, b"x = 2\n") == b""


def test_a_header_is_that_of_the_interpreter(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("x = 1\n")
    py_compile.compile(str(module), doraise=True)
    header = Header(int(module.stat().st_mtime), module.stat().st_size).encode()
    assert header.startswith(MAGIC_NUMBER)
    assert Path(cache_from_source(str(module))).read_bytes().startswith(header)
