"""A job's temporary files are on disk, below a path that is short enough for sockets."""

import pytest

from tests.supervisor.sandbox.conftest import Target

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

LOOK = """
import multiprocessing.connection, socket, tempfile
directory = tempfile.mkdtemp()
print("temporary", tempfile.gettempdir())
with socket.socket(socket.AF_UNIX) as server:
    server.bind(f"{directory}/{'x' * 80}")
print("bound")
print("same file system", os.stat(directory).st_dev == os.stat(".").st_dev)
print("var", os.path.realpath("/var/tmp"))
"""


async def test_tmp_is_short_and_on_disk(target: Target) -> None:
    lines = (await target.attacked(LOOK)).splitlines()
    assert lines == ["temporary /tmp", "bound", "same file system True", "var /tmp"]


async def test_tmp_is_empty_for_the_next_job(target: Target) -> None:
    await target.attacked('open("/tmp/left", "w").write("secret")')
    assert "held" in await target.attacked('attack("file", lambda: open("/tmp/left").read())')
