"""Generated archives with members that no tool would pack, some of them damaged."""

import gzip
import io
import stat
import tarfile
import warnings
import zipfile
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.support.archives import REFUSED, TRAIN

ESCAPES = [
    "../escaped", "../../../../escaped", "/escaped", "a/../../escaped", "..\\escaped", "C:\\x",
    "./../escaped", "..", ".", "/", "", "a//b", "a/./b", "a/", "//escaped", "%2e%2e/escaped",
    "train.py/x", "train.py", "TRAIN.PY", "./train.py", "x" * 300, "d/" * 70 + "x", "\u202ey",
    "nul\0byte", "line\nfeed", "~/escaped", "café", "cafe\u0301", "..\u2215escaped",
    "link/escaped", "link", ".git/config", "sitecustomize.py", "con", "a:b",
]  # fmt: skip
"""Names that try to escape the directory, or collide."""

TARGETS = ["/etc/passwd", "..", "../../../escaped", "train.py", "link", "/", "", "a" * 5000]

ZIP_MODES = [
    0,
    stat.S_IFREG | 0o644,
    stat.S_IFREG | 0o6777,
    stat.S_IFLNK | 0o777,
    stat.S_IFIFO | 0o600,
    stat.S_IFCHR | 0o600,
    stat.S_IFSOCK | 0o600,
    stat.S_IFDIR | 0o777,
]
TAR_TYPES = [
    tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE,
    tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE,
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_SPARSE,
    tarfile.XHDTYPE, tarfile.XGLTYPE, b"Z",
]  # fmt: skip

names = st.one_of(
    st.sampled_from(ESCAPES),
    st.lists(st.sampled_from([*ESCAPES, "a", "b", "link"]), min_size=1, max_size=3).map("/".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)


@dataclass(frozen=True, kw_only=True)
class Member:
    name: str
    content: bytes
    zip_mode: int
    tar_type: bytes
    target: str
    method: int
    """Compression methods of a zip."""


class Archive:
    """An archive to send. Not a dataclass: hypothesis would print all of its bytes."""

    def __init__(self, *, suffix: str, content: bytes) -> None:
        self.suffix = suffix
        self.content = content

    def __repr__(self) -> str:
        # not megabytes in the report; the seed of the round reproduces it
        shown = self.content if len(self.content) < 2000 else self.content[:200]
        return f"Archive({self.suffix}, {len(self.content)} bytes: {shown!r})"


contents = st.one_of(
    st.binary(max_size=50),
    st.just(TRAIN.encode()),
    # small when sent, large when unpacked
    st.sampled_from([b"\0" * 1_000_001, b"\0" * 4_000_000]),
)
usual = st.builds(
    Member,
    name=st.sampled_from(["a", "b/c", "data/ü.csv", "b"]),
    content=st.binary(max_size=50),
    zip_mode=st.sampled_from(ZIP_MODES[:3]),
    tar_type=st.just(tarfile.REGTYPE),
    target=st.just(""),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
odd = st.builds(
    Member,
    name=names,
    content=contents,
    zip_mode=st.sampled_from(ZIP_MODES),
    tar_type=st.sampled_from(TAR_TYPES),
    target=st.sampled_from(TARGETS),
    method=st.sampled_from(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    ),
)
program = Member(
    name="train.py",
    content=TRAIN.encode(),
    zip_mode=0,
    tar_type=tarfile.REGTYPE,
    target="",
    method=zipfile.ZIP_DEFLATED,
)


def zip_file(members: list[Member]) -> bytes:
    """A zip of these members, in this order, with these exact names."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.filterwarnings("ignore", "Duplicate name")
        for member in members:
            info = zipfile.ZipInfo("x")
            # after the constructor, which sanitises names
            info.filename = info.orig_filename = member.name
            info.create_system, info.external_attr = 3, member.zip_mode << 16
            info.compress_type = member.method
            with archive.open(info, "w") as file:
                file.write(member.content)
    return buffer.getvalue()


def tar_file(members: list[Member]) -> bytes:
    """A tar.gz of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname = member.tar_type, member.target
            info.size = len(member.content)
            archive.addfile(info, io.BytesIO(member.content))
    return gzip.compress(buffer.getvalue(), 1)


def pack(suffix: str, members: list[Member]) -> bytes:
    """An archive of the type given by the suffix."""
    return zip_file(members) if suffix == ".zip" else tar_file(members)


@st.composite
def archives(draw: st.DrawFn) -> Archive:
    """Valid, unusual, damaged, or from the corpus."""
    suffix = draw(st.sampled_from([".zip", ".tar.gz", ".tgz"]))
    sort = draw(st.sampled_from(["corpus", "one name", "one name", "many", "many", "many"]))
    if sort == "one name":
        # it has no other fault for which it might be rejected
        member = replace(program, name=draw(names))
        return Archive(suffix=suffix, content=pack(suffix, [program, member]))
    if sort == "corpus":
        suffix, make, _ = REFUSED[draw(st.sampled_from([*REFUSED]))]
        return Archive(suffix=suffix, content=make())
    members = draw(st.lists(st.one_of(usual, odd), max_size=5))
    members.insert(draw(st.integers(0, len(members))), program)
    data = bytearray(pack(suffix, members))
    damage = draw(st.sampled_from(["none", "none", "cut", "flip", "add", "inner"]))
    if damage == "cut":
        del data[draw(st.integers(0, len(data))) :]
    elif damage == "add":
        data += draw(st.binary(min_size=1, max_size=1000))
    elif damage == "inner" and suffix != ".zip":
        # flipped before compression: the checksum of gzip is valid, the headers are not
        plain = bytearray(gzip.decompress(data))
        flip(draw, plain, 2048)
        data = bytearray(gzip.compress(plain, 1))
    elif damage != "none":
        flip(draw, data, len(data))
    return Archive(suffix=suffix, content=bytes(data))


def flip(draw: st.DrawFn, data: bytearray, within: int) -> None:
    """Overwrite a few bytes: sizes, names, types, offsets, or anything else."""
    for _ in range(draw(st.integers(1, 8))):
        position = draw(st.integers(0, min(within, len(data)) - 1))
        data[position] = draw(st.sampled_from([0, 1, 0x2F, 0x7F, 0x80, 0xFF]))
