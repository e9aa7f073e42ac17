"""Listing and downloading the files of a job."""

import stat
from pathlib import Path

import pytest

from asgard_async.client import AsgardClient, AsyncAsgardClient, JobFile, NotFound
from asgard_async.client.download import Destination, UnsafeName
from asgard_async.client.files import content_of
from asgard_async.client.jobs import Job
from tests.client.conftest import NAMES
from tests.support.service import Service
from tests.support.tcp_relay import relaying

pytestmark = pytest.mark.service

LEAVES = """
import os
os.makedirs("out/empty")
open("out/a", "w").write("a")
open("out/big", "wb").write(bytes(range(256)) * 8000)
os.symlink("/etc/passwd", "link")
os.mkfifo("out/fifo")
"""
HOSTILE = r"""
import os
for name in (b"line\nbreak", b"\xff", b"..\\x", b"-rf", b"C:", b".bashrc"):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
"""


async def left(client: AsyncAsgardClient, script: str = LEAVES) -> Job:
    job = await client.submit(source=script, **NAMES)
    return await client.wait(job, check=True)


def below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


async def test_files_are_listed_and_downloaded(client: AsyncAsgardClient, tmp_path: Path) -> None:
    job = await left(client)
    listing = await client.files(job)
    assert listing.complete
    assert {file.path: file.type for file in listing} == {
        "link": "link",
        "out": "directory",
        "out/a": "file",
        "out/big": "file",
        "out/empty": "directory",
        "out/fifo": "other",
        "train.py": "file",
    }
    assert len(await client.files(job, "out", recursive=False)) == 4
    written = await client.download(job, to=tmp_path / "all")
    assert sorted(path.name for path in written) == ["a", "big", "train.py"]
    everything = {"out", "out/a", "out/big", "out/empty", "train.py"}
    assert below(tmp_path / "all") == everything
    assert (tmp_path / "all/out/big").read_bytes() == bytes(range(256)) * 8000
    assert await client.download(job, "out/", to=tmp_path / "folder")
    assert below(tmp_path / "folder") == everything - {"train.py"}
    (one,) = await client.download(job, "out/a", to=tmp_path)
    assert one == tmp_path / "a"
    for missing in ("nothing", "out/nothing", "link", "nothing/at all", "../exit.json"):
        with pytest.raises(NotFound):
            await client.download(job, missing, to=tmp_path)


async def test_files_are_not_overwritten_unasked(client: AsyncAsgardClient, tmp_path: Path) -> None:
    job = await left(client)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("mine")
    with pytest.raises(FileExistsError, match="out/a exists"):
        await client.download(job, "out", to=tmp_path)
    assert below(tmp_path) == {"out", "out/a"}
    await client.download(job, "out", to=tmp_path, overwrite=True)
    assert (tmp_path / "out" / "a").read_text() == "a"


async def test_links_in_the_destination_lead_nowhere(
    client: AsyncAsgardClient, tmp_path: Path
) -> None:
    job = await left(client)
    outside, to = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    to.mkdir()
    (to / "out").symlink_to(outside)
    with pytest.raises(OSError, match="out"):
        await client.download(job, "out", to=to, overwrite=True)
    assert below(outside) == set()
    (to / "a").symlink_to(outside / "a")
    await client.download(job, "out/a", to=to, overwrite=True)
    assert below(outside) == set()
    assert (to / "a").read_text() == "a"


async def test_hostile_names_stay_in_the_directory(
    client: AsyncAsgardClient, tmp_path: Path
) -> None:
    job = await left(client, HOSTILE)
    await client.download(job, to=tmp_path / "to")
    names = {path.name for path in (tmp_path / "to").iterdir()}
    assert names == {"line\nbreak", "\udcff", "..\\x", "-rf", "C:", ".bashrc", "train.py"}
    assert below(tmp_path) == {"to", *(f"to/{name}" for name in names)}


@pytest.mark.parametrize("path", ["../x", "a/../../x", "%2e%2e/x", "/etc/x", "a//x", "..", ""])
def test_a_hostile_service_cannot_write_elsewhere(tmp_path: Path, path: str) -> None:
    file = JobFile(path=path, type="file", url=f"/mlops/training/jobs/00000000/files/{path}")
    destination = Destination(tmp_path / "to")
    with (
        pytest.raises(UnsafeName),
        destination.writing(file.names, overwrite=True) as target,
    ):
        target.write(b"x")
    assert below(tmp_path) <= {"to"}


def test_an_interrupted_file_leaves_nothing(tmp_path: Path) -> None:
    destination = Destination(tmp_path)

    def fail() -> None:
        with destination.writing(["x"], overwrite=False) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert below(tmp_path) == set()
    with destination.writing(["d", "x"], overwrite=False) as file:
        file.write(b"whole")
    assert below(tmp_path) == {"d", "d/x"}
    assert stat.S_IMODE((tmp_path / "d" / "x").stat().st_mode) & 0o111 == 0


async def test_files_that_do_not_fit_are_refused(client: AsyncAsgardClient, tmp_path: Path) -> None:
    job = await left(client, "open('sparse', 'wb').truncate(1 << 42)")
    with pytest.raises(OSError, match="free"):
        await client.download(job, to=tmp_path / "to")
    assert below(tmp_path) == set()


async def test_a_broken_download_continues(shared: Service, client: AsyncAsgardClient) -> None:
    job = await left(client, "open('big', 'wb').write(bytes(range(256)) * 80_000)")
    (file,) = [file for file in await client.files(job) if file.path == "big"]
    async with relaying(shared.port) as relay:
        async with AsyncAsgardClient(relay.url) as through_relay:
            received = bytearray()
            async for offset, data in content_of(through_relay._transport, file):
                del received[offset:]
                received += data
                if len(received) == len(data):
                    relay.cut()
    assert received == bytes(range(256)) * 80_000


def test_the_synchronous_client_downloads(shared: Service, tmp_path: Path) -> None:
    with AsgardClient(shared.url) as asgard:
        job = asgard.wait(asgard.submit(source="open('x', 'w')", **NAMES), check=True)
        assert [file.path for file in asgard.files(job)] == ["train.py", "x"]
        assert asgard.download(job, "x", to=tmp_path) == (tmp_path / "x",)
