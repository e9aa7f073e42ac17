"""Archives on disk: kept if persisted, removed otherwise."""

import contextlib
import hashlib
from pathlib import Path

import pytest

from asgard_async.store.archives import ArchiveStore


@pytest.fixture
def archives(tmp_path: Path) -> ArchiveStore:
    return ArchiveStore(tmp_path)


async def received(archives: ArchiveStore, content: bytes = b"content") -> str:
    with archives.receiving(".tar.gz") as incoming:
        await incoming.write(content[:3])
        await incoming.write(content[3:])
        await incoming.close()
        await archives.persist(incoming.name)
    assert incoming.sha256 == hashlib.sha256(content).hexdigest()
    return incoming.name


async def test_a_persisted_archive_stays(archives: ArchiveStore) -> None:
    name = await received(archives)
    assert archives.path(name).read_bytes() == b"content"
    assert archives.path(name).stat().st_mode & 0o777 == 0o600
    assert name.endswith(".tar.gz")


async def test_an_unpersisted_archive_is_removed(archives: ArchiveStore, tmp_path: Path) -> None:
    with archives.receiving(".zip") as incoming:
        await incoming.write(b"x")
    with contextlib.suppress(KeyError), archives.receiving(".zip") as incoming:
        await incoming.write(b"x")
        raise KeyError
    assert not [*tmp_path.iterdir()]


async def test_a_shared_archive_outlives_the_first_job(archives: ArchiveStore) -> None:
    name = await received(archives)
    twin = await archives.share(name)
    assert twin != name
    assert twin.endswith(".tar.gz")
    await archives.remove(name)
    await archives.remove(name)
    assert archives.path(twin).read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        await archives.share(name)


async def test_sweeping_removes_unreferenced_archives(
    archives: ArchiveStore, tmp_path: Path
) -> None:
    known, stray = await received(archives), await received(archives)
    assert await archives.sweep({known, "gone.zip"}) == 1
    assert [path.name for path in tmp_path.iterdir()] == [known]
    assert not archives.path(stray).exists()
