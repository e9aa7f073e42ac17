"""Valid archives as people pack them, and hostile ones."""

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping

Files = Mapping[str, str | bytes]

TRAIN = "print('trained')\n"


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def zip_of(files: Files, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_gz_of(files: Files) -> bytes:
    return tar_gz([(regular(name), _bytes(content)) for name, content in files.items()])


def tar_gz(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, plain: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w" if plain else "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def regular(name: str, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    return info


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_with_mode(name: str, mode: int, content: bytes = b"/etc/hostname") -> bytes:
    """A zip whose second member has the given Unix mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train.py", TRAIN)
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, content)
    return buffer.getvalue()


def zip_with_flag(flag: int) -> bytes:
    """A zip whose only member has the given flag bits."""
    data = bytearray(zip_of({"train.py": TRAIN}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = data.index(signature) + offset
        data[position] |= flag & 0xFF
        data[position + 1] |= flag >> 8
    return bytes(data)


def zip_overlapping() -> bytes:
    """A zip whose directory entries all point to the same bytes."""
    data = zip_of({"train.py": TRAIN, "other.py": TRAIN})
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    return data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :]


def zip_that_lies(claim: int) -> bytes:
    """A zip with a MiB of zeros that claims to unpack to `claim` bytes."""
    data = bytearray(zip_of({"train.py": TRAIN, "zeros": b"\0" * (1 << 20)}))
    local = data.index(b"PK\x03\x04", 4)
    central = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[local + 22 : local + 26] = data[central + 24 : central + 28] = struct.pack("<L", claim)
    return bytes(data)


def zip_twice(*names: str) -> bytes:
    """A zip with members of the same name, without the warning of zipfile."""
    stand_ins = {f"{number:0{len(name)}}": TRAIN for number, name in enumerate(names)}
    data = zip_of(stand_ins, method=zipfile.ZIP_STORED)
    for stand_in, name in zip(stand_ins, names, strict=True):
        data = data.replace(stand_in.encode(), name.encode())
    return data


def _both(files: Files) -> dict[str, Callable[[], bytes]]:
    return {
        ".zip": lambda: zip_of({"train.py": TRAIN, **files}),
        ".tar.gz": lambda: tar_gz_of({"train.py": TRAIN, **files}),
    }


NAMES = {
    "absolute": ("/tmp/evil", "absolute path"),
    "parent": ("../evil", "'..'"),
    "parent-inside": ("a/../../evil", "'..'"),
    "backslash": ("a\\..\\evil", "backslash"),
    "control": ("a\nb", "control character"),
    "delete": ("a\x7fb", "control character"),
    "long-name": ("a" * 256, "too long"),
    "long-path": ("/".join(["a" * 200] * 6), "too long"),
    "deep": ("a/" * 65 + "b", "too long"),
    "below-a-file": ("train.py/x", "below a file"),
    "same": ("./train.py", "same path"),
    "same-with-two-slashes": (".//train.py", "same path"),
}

MUCH: list[tuple[str, Files, str]] = [
    ("too-many", {f"{number}": "" for number in range(50)}, "more than the 50 files"),
    ("too-many-directories", {"a/" * 50 + "b": ""}, "more than the 50 files"),
    ("too-large", {"zeros": b"\0" * 3_000_001}, "more than the 3000000 bytes"),
]

REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    **{
        f"{case}{suffix}": (suffix, make, message)
        for case, (name, message) in NAMES.items()
        for suffix, make in _both({name: "x"}).items()
    },
    **{
        f"{case}{suffix}": (suffix, make, message)
        for case, files, message in MUCH
        for suffix, make in _both(files).items()
    },
    "nul.zip": (".zip", lambda: zip_twice("train.py", "a\0b"), "control character"),
    "same-name.zip": (".zip", lambda: zip_twice("train.py", "train.py"), "same path"),
    "link.zip": (".zip", lambda: zip_with_mode("x", stat.S_IFLNK | 0o777), "a link"),
    "fifo.zip": (".zip", lambda: zip_with_mode("x", stat.S_IFIFO | 0o600), "not a regular file"),
    "device.zip": (".zip", lambda: zip_with_mode("x", stat.S_IFCHR | 0o600), "not a regular file"),
    "encrypted.zip": (".zip", lambda: zip_with_flag(0x1), "encrypted"),
    "strongly-encrypted.zip": (".zip", lambda: zip_with_flag(0x40), "encrypted"),
    "masked-directory.zip": (".zip", lambda: zip_with_flag(0x2000), "encrypted"),
    # each names the target directory itself, so none creates a file or directory
    "too-many-of-nothing.zip": (
        ".zip",
        lambda: zip_of({"./" * number: "" for number in range(1, 52)}),
        "more than the 50 files",
    ),
    "overlapping.zip": (".zip", zip_overlapping, "overlap"),
    "claims-less.zip": (".zip", lambda: zip_that_lies(10), "damaged"),
    "claims-more.zip": (".zip", lambda: zip_that_lies(2_000_000), "damaged"),
    "lzma.zip": (
        ".zip",
        lambda: zip_of({"train.py": TRAIN}, method=zipfile.ZIP_LZMA),
        "other than deflate",
    ),
    "cut-off.zip": (".zip", lambda: zip_of({"train.py": TRAIN})[:-30], "damaged"),
    "empty-file.zip": (".zip", lambda: b"", "damaged"),
    "text.zip": (".zip", lambda: b"print('x')\n" * 100, "damaged"),
    "tar.zip": (".zip", lambda: tar_gz_of({"train.py": TRAIN}), "damaged"),
    "symlink.tar.gz": (
        ".tar.gz",
        lambda: tar_gz([(special("x", tarfile.SYMTYPE, "/etc"), b"")]),
        "a link",
    ),
    "hardlink.tar.gz": (
        ".tar.gz",
        lambda: tar_gz([(regular("a"), b""), (special("x", tarfile.LNKTYPE, "a"), b"")]),
        "a link",
    ),
    **{
        f"{case}.tar.gz": (
            ".tar.gz",
            lambda kind=kind: tar_gz([(special("x", kind), b"")]),  # type: ignore[misc]  # bound now
            message,
        )
        for case, kind, message in [
            ("character-device", tarfile.CHRTYPE, "not a regular file"),
            ("block-device", tarfile.BLKTYPE, "not a regular file"),
            ("fifo", tarfile.FIFOTYPE, "not a regular file"),
            ("continuous", tarfile.CONTTYPE, "not a regular file"),
            ("sparse", tarfile.GNUTYPE_SPARSE, "sparse file"),
        ]
    },
    "not-utf-8.tar.gz": (".tar.gz", lambda: tar_gz_of({"\udcff": ""}), "not UTF-8"),
    "same-name.tar.gz": (
        ".tar.gz",
        lambda: tar_gz([(regular("train.py"), b"1"), (regular("train.py"), b"2")]),
        "same path",
    ),
    "cut-off.tar.gz": (".tar.gz", lambda: tar_gz_of({"train.py": TRAIN})[:-30], "damaged"),
    "wrong-checksum.tar.gz": (
        ".tar.gz",
        lambda: tar_gz_of({"train.py": TRAIN})[:-8] + b"\0" * 8,
        "damaged",
    ),
    "not-compressed.tar.gz": (
        ".tar.gz",
        lambda: tar_gz([(regular("train.py"), b"1")], plain=True),
        "damaged",
    ),
    "empty-file.tar.gz": (".tar.gz", lambda: b"", "damaged"),
    "zip.tar.gz": (".tar.gz", lambda: zip_of({"train.py": TRAIN}), "damaged"),
}
"""Suffix, archive and expected error, within the limits of `TIGHT`."""

TIGHT = {"max_members": 50, "max_unpacked_bytes": 3_000_000}
