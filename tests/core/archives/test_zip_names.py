"""Names in zip archives of different programs, read as `unzip` reads them."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from asgard_async.core.archives.members import members
from asgard_async.core.archives.names import ArchiveLimits, ArchiveRefused
from tests.support.archives import TIGHT


class Named(zipfile.ZipInfo):
    """A member whose name is stored as it is, without the flag that says UTF-8."""

    def __init__(self, raw: bytes) -> None:
        super().__init__("placeholder")
        self.raw = raw

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        return self.raw, self.flag_bits & ~0x800


def unicode_path(name: str, of: bytes) -> bytes:
    content = b"\1" + struct.pack("<I", zlib.crc32(of)) + name.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


def paths_in(tmp_path: Path, *infos: zipfile.ZipInfo) -> list[str]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info in infos:
            archive.writestr(info, b"1,2\n")
    file = tmp_path / "names.zip"
    file.write_bytes(buffer.getvalue())
    found = []
    for member in members(file, ArchiveLimits(**TIGHT)):
        assert b"".join(member.blocks) == b"1,2\n"
        found.append(member.path)
    return found


@pytest.mark.parametrize(
    ("info", "path"),
    [
        pytest.param(zipfile.ZipInfo("данные.csv"), "данные.csv", id="flag"),
        pytest.param(Named("данные.csv".encode()), "данные.csv", id="Finder"),
        pytest.param(Named("café.csv".encode("cp437")), "café.csv", id="DOS"),
        pytest.param(Named("données/".encode() + b"a.csv"), "données/a.csv", id="folder"),
    ],
)
def test_names_in_utf_8_or_code_page_437(tmp_path: Path, info: zipfile.ZipInfo, path: str) -> None:
    assert paths_in(tmp_path, info) == [path]


def test_the_extra_field_names_the_member(tmp_path: Path) -> None:
    raw = "данные.csv".encode("cp866")
    info = Named(raw)
    info.extra = struct.pack("<HH", 0x5455, 1) + b"\0" + unicode_path("данные.csv", of=raw)
    assert paths_in(tmp_path, info) == ["данные.csv"]


def test_an_extra_field_of_an_earlier_name_is_ignored(tmp_path: Path) -> None:
    info = Named(b"renamed.csv")
    info.extra = unicode_path("данные.csv", of=b"earlier.csv")
    assert paths_in(tmp_path, info) == ["renamed.csv"]


def test_a_path_in_the_extra_field_is_checked_too(tmp_path: Path) -> None:
    info = Named(b"a.csv")
    info.extra = unicode_path("../a.csv", of=b"a.csv")
    with pytest.raises(ArchiveRefused, match=r"'\.\.'"):
        paths_in(tmp_path, info)
