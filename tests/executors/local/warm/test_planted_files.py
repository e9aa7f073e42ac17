"""Fork servers run outside the sandbox and read no files that jobs write."""

import ast
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.supervisor.shim import landlock
from tests.support.service import Service
from tests.support.service_users import IS_ROOT, isolating_service

pytestmark = pytest.mark.service

LITE = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
ROOT = pytest.mark.skipif(not IS_ROOT, reason="a service that is root: the tests are not")

PLANTS = """
import os, pathlib, sys
paths = [os.environ[name] for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "HF_HOME")]
paths += [os.environ["MPLCONFIGDIR"], os.getcwd(), DATA + "/warm/base"]
paths += [f"{DATA}/warm/base/{name}" for name in ("home", "tmp", "work", "cache")]
version = f"python{sys.version_info.major}.{sys.version_info.minor}"
for path in map(pathlib.Path, dict.fromkeys(paths)):
    for name, text in (
        ("matplotlibrc", "planted: 1"),
        ("matplotlib/matplotlibrc", "planted: 1"),
        (".config/matplotlib/matplotlibrc", "planted: 1"),
        (f".local/lib/{version}/site-packages/planted.pth", "import os; os.write(2, b'planted')"),
        (f".local/lib/{version}/site-packages/usercustomize.py", "print('planted')"),
        ("sitecustomize.py", "print('planted')"),
        ("numpy.py", "print('planted')"),
    ):
        try:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        except OSError:
            pass
"""

SEEN = """
import os, pathlib
import matplotlib
cache = pathlib.Path(os.environ["XDG_CACHE_HOME"])
(cache / "used").touch()
print([matplotlib.get_configdir(), matplotlib.get_cachedir()])
print([os.environ["MPLCONFIGDIR"]] * 2)
print((cache / "matplotlibrc").exists())
"""


@pytest.fixture(
    params=[
        pytest.param(("sandbox", "ordinary"), id="sandbox-ordinary"),
        pytest.param(("sandbox-lite", "ordinary"), id="sandbox-lite-ordinary", marks=LITE),
        pytest.param(("user", "root"), id="user-root", marks=ROOT),
    ]
)
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    level, who = request.param
    async with isolating_service(
        level, who, tmp_path, ASGARD_WARM__PRELOAD='["matplotlib", "numpy"]'
    ) as running:
        yield running


async def test_a_fork_server_reads_nothing_planted(service: Service) -> None:
    await service.warm()
    script = f"import numpy\nDATA = {str(service.data_dir)!r}\n{PLANTS}"
    planted = await service.finished(await service.submit(script))
    assert (planted["reason"], planted["start"]) == ("succeeded", "warm"), planted["logs"]

    await service.end()
    await service.start()
    await service.warm()
    assert "planted" not in (service.data_dir / "warm/base/server.log").read_text()

    job = await service.finished(await service.submit(SEEN))
    assert (job["reason"], job["start"]) == ("succeeded", "warm"), job["logs"]
    found, expected, has_planted = job["logs"].splitlines()
    assert ast.literal_eval(found) == ast.literal_eval(expected)
    assert has_planted == "True", "the job has another cache than the earlier one"
