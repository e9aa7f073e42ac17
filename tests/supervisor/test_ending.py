"""A forked interpreter does not clear preloaded modules on exit, unless a script could notice."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.executors.local.warm.server import ForkServer
from tests.support.fidelity_starts import Case, by_shim
from tests.support.fork_servers import fork_server
from tests.support.service import WITHOUT_MLFLOW, running_service

LIBRARY = """
import weakref

class Value: ...

value = Value()
finalizer = weakref.ref(value, lambda _: print("taken apart"))
"""
FINALIZED = """
class Value:
    def __del__(self):
        print("freed")

value = Value()
"""
FINALIZERS = """
import idna, gc
print([type(one).__name__ for one in gc.get_objects() if hasattr(type(one), "__del__")])
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ForkServer]:
    (tmp_path / "library.py").write_text(LIBRARY)
    (tmp_path / "finalized.py").write_text(FINALIZED)
    preload = ("library", "finalized")
    async with fork_server(tmp_path / "server", preload, PYTHONPATH=str(tmp_path)) as server:
        yield server


async def output(script: str, place: Path, server: ForkServer) -> list[str]:
    return (await by_shim(Case(script=script), place, server)).output.splitlines()


async def test_preloaded_modules_are_left_alone(tmp_path: Path, server: ForkServer) -> None:
    lines = await output("import library, json; print('end')", tmp_path / "job", server)
    assert "taken apart" not in lines
    assert lines[0] == "end"


async def test_objects_of_the_job_are_finalized_as_by_hand(
    tmp_path: Path, server: ForkServer
) -> None:
    assert "freed" in await output("print('end')", tmp_path / "job", server)


@pytest.mark.service
async def test_objects_of_the_shim_are_not_finalized(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        await service.warm()
        job = await service.finished(await service.submit(FINALIZERS))
        assert (job["start"], job["logs"]) == ("warm", "[]\n")


@pytest.mark.parametrize(
    "script",
    [
        "file = open('kept', 'w')",
        "class Kept:\n    def __del__(self): pass\nkept = Kept()",
        "import subprocess; kept = subprocess.Popen(['sleep', '0'])",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    ],
    ids=["a_file", "a_finalizer", "a_child", "a_thread"],
)
async def test_modules_that_may_hold_job_state_are_torn_down(
    tmp_path: Path, server: ForkServer, script: str
) -> None:
    assert "taken apart" in await output(script, tmp_path / "job", server)
