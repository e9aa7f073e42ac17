"""Paths of a fork server that libraries remember become those of the job."""

import json
from pathlib import Path

from tests.support.fidelity_starts import Case, by_shim
from tests.support.fork_servers import fork_server

LIBRARY = """
import functools, os, pathlib

@functools.cache
def configuration():
    return os.environ["MPLCONFIGDIR"]

@functools.lru_cache(maxsize=4)
def data(name):
    return [pathlib.Path(os.environ["XDG_CACHE_HOME"], name)]

@functools.cache
def other():
    return object()

def remembering():
    value = os.environ["MPLCONFIGDIR"]
    return lambda: value

closure = remembering()
HUB = os.path.join(os.environ["HF_HOME"], "hub")
PATH = pathlib.Path(HUB)
SEARCHED = [HUB, PATH, None]
SETTINGS = {"hub": HUB, "path": PATH, "searched": [PATH]}
OTHER = other()
configuration()
data("models")
"""
SCRIPT = """
import json, os
import remembers
assert remembers.other() is remembers.OTHER
print(json.dumps([
    remembers.HUB, remembers.PATH, *remembers.SEARCHED, remembers.SETTINGS,
    remembers.configuration(), remembers.closure(), remembers.data("models"),
], default=str))
"""


async def test_a_job_sees_its_own_paths(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "remembers.py").write_text(LIBRARY)
    search = str(tmp_path / "library")
    variables = {
        name: str(tmp_path / "job" / directory)
        for name, directory in (
            ("XDG_CACHE_HOME", "cache"),
            ("HF_HOME", "cache/hf"),
            ("MPLCONFIGDIR", "cache/mpl"),
        )
    }
    of_server = {name: path.replace("job", "server") for name, path in variables.items()}
    async with fork_server(
        tmp_path / "server", ["remembers"], PYTHONPATH=search, **of_server
    ) as server:
        case = Case(script=SCRIPT, variables={**variables, "PYTHONPATH": search})
        seen = await by_shim(case, tmp_path / "place", server)
    assert seen.exit_code == 0, seen.output
    cache = tmp_path / "job" / "cache"
    hub = str(cache / "hf/hub")
    settings = {"hub": hub, "path": hub, "searched": [hub]}
    assert json.loads(seen.output) == [
        *(hub, hub, hub, hub, None, settings),
        *(str(cache / "mpl"), str(cache / "mpl"), [str(cache / "models")]),
    ]
