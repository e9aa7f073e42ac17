"""Archives on real files: which are accepted, and what is on disk afterwards."""

import gzip
import os
import stat
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from asgard_async.core.archives import names
from asgard_async.core.archives.names import (
    MAX_COMPONENT_BYTES,
    MAX_DEPTH,
    MAX_PATH_BYTES,
    MAX_RATIO,
    ArchiveLimits,
    ArchiveRefused,
    MemberTally,
    safe_path,
)
from asgard_async.core.archives.unpack import read_program, unpack
from tests.support.archives import (
    REFUSED,
    TIGHT,
    TRAIN,
    regular,
    special,
    tar_gz,
    tar_gz_of,
    zip_of,
    zip_with_mode,
)

LIMITS = ArchiveLimits(**TIGHT)
FILES = {"./train.py": TRAIN, "pkg//mod.py": "X = 1\n", "data/ü.csv": "1,2\n", "empty": ""}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir(mode=0o700)
    return directory


def written(tmp_path: Path, suffix: str, content: bytes) -> Path:
    archive = tmp_path / f"archive{suffix}"
    archive.write_bytes(content)
    return archive


def everything_below(directory: Path) -> dict[str, int]:
    """Every path with its mode."""
    return {str(path.relative_to(directory)): path.lstat().st_mode for path in directory.rglob("*")}


@pytest.mark.parametrize(("suffix", "make", "message"), [*REFUSED.values()], ids=[*REFUSED])
def test_checking_and_unpacking_reject_the_same(
    tmp_path: Path, work: Path, suffix: str, make: Callable[[], bytes], message: str
) -> None:
    archive = written(tmp_path, suffix, make())
    before = everything_below(tmp_path).keys()
    with pytest.raises(ArchiveRefused, match=message):
        read_program(archive, "train.py", limits=LIMITS, max_bytes=1000)
    assert everything_below(tmp_path).keys() == before
    with pytest.raises(ArchiveRefused, match=message):
        unpack(archive, work, LIMITS)
    # members before the rejected one may exist, but only in the target and as plain files
    made = everything_below(tmp_path).keys() - before
    assert all(path.startswith("work/") for path in made)
    for path, mode in everything_below(work).items():
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path


@pytest.mark.parametrize(("suffix", "make"), [(".zip", zip_of), (".tar.gz", tar_gz_of)])
def test_unpacked_files_are_private(
    tmp_path: Path, work: Path, suffix: str, make: Callable[[dict[str, str]], bytes]
) -> None:
    archive = written(tmp_path, suffix, make(FILES))
    source = read_program(archive, "train.py", limits=LIMITS, max_bytes=1000).source
    assert source == TRAIN.encode()
    unpack(archive, work, LIMITS)
    file, directory = stat.S_IFREG | 0o600, stat.S_IFDIR | 0o700
    assert everything_below(work) == {
        "train.py": file,
        "pkg": directory,
        "pkg/mod.py": file,
        "data": directory,
        "data/ü.csv": file,
        "empty": file,
    }
    assert (work / "data/ü.csv").read_text() == "1,2\n"


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".zip", zip_with_mode("run.sh", stat.S_IFREG | stat.S_ISUID | 0o777)),
        (".zip", zip_with_mode("run.sh", 0o100)),
        (".tar.gz", tar_gz([(regular("train.py"), b"1"), (regular("run.sh", 0o6755), b"x")])),
    ],
)
def test_only_the_executable_bit_of_a_mode_is_kept(
    tmp_path: Path, work: Path, suffix: str, content: bytes
) -> None:
    unpack(written(tmp_path, suffix, content), work, LIMITS)
    assert (work / "run.sh").stat().st_mode == stat.S_IFREG | 0o700
    assert (work / "train.py").stat().st_mode == stat.S_IFREG | 0o600


def test_explicit_directory_members_count(tmp_path: Path, work: Path) -> None:
    members = [
        (special("./", tarfile.DIRTYPE), b""),
        (special("a", tarfile.DIRTYPE), b""),
        (regular("a/train.py"), b"1"),
        (special("b/c/", tarfile.DIRTYPE), b""),
    ]
    unpack(written(tmp_path, ".tar.gz", tar_gz(members)), work, LIMITS)
    assert everything_below(work).keys() == {"a", "a/train.py", "b", "b/c"}


def test_existing_files_are_not_overwritten(tmp_path: Path, work: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (work / "train.py").symlink_to(outside)
    with pytest.raises(FileExistsError):
        unpack(written(tmp_path, ".zip", zip_of({"train.py": "evil"})), work, LIMITS)
    assert outside.read_text() == "untouched"


@pytest.mark.parametrize(
    ("entrypoint", "content", "message"),
    [
        ("other.py", TRAIN, "no such file"),
        ("train.py", "", "empty"),
        ("train.py", "#" * 1001, "larger than 1000 bytes"),
    ],
)
def test_an_entrypoint_must_be_a_script(
    tmp_path: Path, entrypoint: str, content: str, message: str
) -> None:
    archive = written(tmp_path, ".zip", zip_of({"train.py": content}))
    with pytest.raises(ArchiveRefused, match=message) as caught:
        read_program(archive, entrypoint, limits=LIMITS, max_bytes=1000)
    assert caught.value.field == "entrypoint"


@pytest.mark.parametrize(("suffix", "make"), [(".zip", zip_of), (".tar.gz", tar_gz_of)])
def test_a_script_in_a_folder_is_suggested(
    tmp_path: Path, suffix: str, make: Callable[[dict[str, str]], bytes]
) -> None:
    archive = written(tmp_path, suffix, make({"project/readme": "", "project/train.py": TRAIN}))
    with pytest.raises(ArchiveRefused, match=r"no such file, but 'project/train\.py': use"):
        read_program(archive, "train.py", limits=LIMITS, max_bytes=1000)


@pytest.mark.parametrize(("suffix", "make"), [(".zip", zip_of), (".tar.gz", tar_gz_of)])
def test_the_compression_ratio_is_bounded(
    tmp_path: Path,
    work: Path,
    suffix: str,
    make: Callable[[dict[str, bytes]], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = 8 << 20
    monkeypatch.setattr(names, "FREE_BYTES", free)  # its 64 MiB take long to compress
    wide = ArchiveLimits(max_members=10, max_unpacked_bytes=1 << 40)
    zeros, noise = bytes(free), os.urandom((8 << 20) // MAX_RATIO)
    bomb = written(tmp_path, suffix, make({"zeros": zeros, "more": bytes(4 << 20)}))
    with pytest.raises(ArchiveRefused, match=f"more than {MAX_RATIO} times its own size"):
        unpack(bomb, work, wide)
    assert sum(path.stat().st_size for path in work.iterdir()) <= free + (1 << 20)
    for number, files in enumerate(
        [
            {"zeros": zeros},
            # a little incompressible data allows much compressible data
            {"noise": noise * 8 + os.urandom(free // MAX_RATIO), "zeros": zeros},
        ]
    ):
        (place := tmp_path / str(number)).mkdir()
        unpack(written(tmp_path, suffix, make(files)), place, wide)
        assert (place / "zeros").stat().st_size == free


BOUNDARY_PATH = "/".join(["d" * 203] * 4 + ["f" * 207])
DEEPEST = "d/" * (MAX_DEPTH - 1) + "f"


def test_archives_at_the_bounds_are_accepted() -> None:
    assert len(BOUNDARY_PATH) + 1 == MAX_PATH_BYTES
    for name in ("n" * MAX_COMPONENT_BYTES, BOUNDARY_PATH, DEEPEST):
        assert safe_path(name) == name
        with pytest.raises(ArchiveRefused, match="is too long"):
            safe_path(f"{name}x" if name != DEEPEST else f"d/{name}")
    limits = ArchiveLimits(max_members=3, max_unpacked_bytes=10)
    tally = MemberTally(limits, archive_bytes=100)
    tally.admit("a/b/c", is_directory=False)
    tally.count(10)
    with pytest.raises(ArchiveRefused, match="more than the 3 files and directories"):
        tally.admit("d", is_directory=False)
    with pytest.raises(ArchiveRefused, match="more than the 10 bytes"):
        tally.count(1)


def test_a_file_cannot_replace_a_directory() -> None:
    for first, is_directory in (("a/b", False), ("a", True)):
        tally = MemberTally(LIMITS, archive_bytes=100)
        tally.admit(first, is_directory=is_directory)
        with pytest.raises(ArchiveRefused, match="same path"):
            tally.admit("a", is_directory=False)
    with pytest.raises(ArchiveRefused, match="same path"):
        MemberTally(LIMITS, archive_bytes=100).admit("./", is_directory=False)


def test_errors_show_names_shortened_and_printable() -> None:
    with pytest.raises(ArchiveRefused) as caught:
        safe_path("/" + "\udcff\x1b[31m" + "x" * 5000)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text.encode()) < 300


def test_an_inflated_size_header_costs_nothing(tmp_path: Path) -> None:
    """A pax header of a TiB: as long as it is only claimed, there is nothing to read."""
    info = tarfile.TarInfo("train.py")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    archive = written(tmp_path, ".tar.gz", gzip.compress(info.tobuf() + b"\0" * 4096))
    with pytest.raises(ArchiveRefused):
        read_program(archive, "train.py", limits=LIMITS, max_bytes=1000)


def tar_with_header(kind: bytes, content: bytes) -> bytes:
    """An archive whose first member has an extended header with this content."""
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, len(content)
    packed = header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)
    member = tarfile.TarInfo("train.py")
    member.size = 4
    end = member.tobuf(tarfile.USTAR_FORMAT) + b"pass" + bytes(508 + 1024)
    return gzip.compress(packed + end)


def pax_record(size: int) -> bytes:
    record = b" comment=" + b"x" * size + b"\n"
    length = len(record) + len(str(len(record)))
    return str(length).encode() + record


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (tarfile.XHDTYPE, pax_record(4 << 20)),
        (tarfile.XGLTYPE, pax_record(4 << 20)),
        (tarfile.GNUTYPE_LONGNAME, b"x" * (4 << 20)),
        (tarfile.GNUTYPE_LONGLINK, b"x" * (4 << 20)),
    ],
)
def test_a_huge_header_is_refused_without_being_read(
    tmp_path: Path, work: Path, kind: bytes, content: bytes
) -> None:
    """tarfile reads each into memory, several times over, in the service when a job starts."""
    archive = written(tmp_path, ".tar.gz", tar_with_header(kind, content))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveRefused, match="header"):
            unpack(archive, work, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_headers_of_earlier_members_are_not_kept(tmp_path: Path, work: Path) -> None:
    members = []
    for number in range(40):
        info = regular(f"{number}.py")
        info.pax_headers = {"comment": "x" * 60_000}
        members.append((info, b"pass"))
    archive = written(tmp_path, ".tar.gz", tar_gz(members))
    tracemalloc.start()
    try:
        unpack(archive, work, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert len(everything_below(work)) == 40
