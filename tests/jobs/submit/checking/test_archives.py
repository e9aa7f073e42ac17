"""Checking archives in real processes: results, bombs and limits."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import pytest

from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.jobs.submit.checking.archives import ArchiveChecker
from tests.support.archives import TRAIN, tar_gz_of, zip_of

GIB = 1 << 30


def checker(*, deadline_seconds: float = 60, max_unpacked_bytes: int = GIB) -> ArchiveChecker:
    return ArchiveChecker(
        limits=ArchiveLimits(max_members=10_000, max_unpacked_bytes=max_unpacked_bytes),
        max_script_bytes=1000,
        deadline_seconds=deadline_seconds,
        max_waiting=8,
    )


async def refusal(archive: Path, checker: ArchiveChecker) -> tuple[str, str]:
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(InvalidSubmission) as caught:
        await checker.program_in("train.py", archive)
    assert len([*Path("/proc/self/fd").iterdir()]) == descriptors
    ((field, (message,)),) = caught.value.errors.items()
    assert str(archive.parent) not in message
    return field, message


async def test_the_source_of_the_entrypoint_is_returned(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar_gz_of({"train.py": TRAIN, "other.py": "1"}))
    assert (await checker().program_in("train.py", archive)).source == TRAIN.encode()


async def test_a_missing_entrypoint_has_its_own_error(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zip_of({"other.py": TRAIN}))
    assert await refusal(archive, checker()) == ("entrypoint", "The archive has no such file.")


async def test_a_slow_check_times_out(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zip_of({"train.py": TRAIN}))
    field, message = await refusal(archive, checker(deadline_seconds=0.001))
    assert (field, "0.001 s" in message) == ("archive", True)


@pytest.mark.slow
async def test_headers_as_large_as_the_memory_are_rejected(tmp_path: Path) -> None:
    """A pax header of 1 GiB of zeros in 1 MiB: tarfile would read it as a whole."""
    archive = tmp_path / "a.tar.gz"
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, GIB
    with gzip.open(archive, "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(GIB >> 24):
            file.write(bytes(1 << 24))
    assert archive.stat().st_size < 8 << 20
    field, message = await refusal(archive, checker())
    assert (field, "header" in message) == ("archive", True), message


@pytest.mark.slow
async def test_a_directory_as_large_as_memory_is_rejected(tmp_path: Path) -> None:
    """A zip with 1.5 million entries without data."""
    entry = zip_of({"a": ""})
    begin = entry.index(b"PK\x01\x02")
    central, end = entry[begin : begin + 47], entry[-22:]
    number = 1_500_000
    archive = tmp_path / "a.zip"
    with archive.open("wb") as file:
        file.write(entry[:begin])
        for _ in range(number // 1000):
            file.write(central * 1000)
        size = number * len(central)
        file.write(end[:8] + struct.pack("<HHLLH", 0xFFFF, 0xFFFF, size, begin, 0))
    field, message = await refusal(archive, checker())
    assert (field, message) == ("archive", "Reading the archive takes too much memory.")


async def test_a_zip_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zip_of({"train.py": TRAIN, "zeros": bytes(64 << 20)}))
    field, message = await refusal(archive, checker(max_unpacked_bytes=1 << 20))
    assert (field, "more than the 1048576 bytes" in message) == ("archive", True)


async def test_trailing_garbage_counts_towards_the_size(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    plain = gzip.decompress(tar_gz_of({"train.py": TRAIN}))
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", compresslevel=1) as file:
        file.write(plain)
        for _ in range(8):
            file.write(bytes(16 << 20))
    archive.write_bytes(buffer.getvalue())
    field, message = await refusal(archive, checker(max_unpacked_bytes=1 << 20))
    assert (field, "more than" in message) == ("archive", True)
