"""Names of the members of zip archives, whose encoding depends on the program that made them."""

import struct
import zipfile
import zlib

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075
"""Info-ZIP's extra field with the name in UTF-8 (APPNOTE.TXT, 4.6.9)."""


def zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name as Info-ZIP's `unzip` reads it.

    A zip has names in code page 437 unless a flag says UTF-8. The Finder and many other programs
    write UTF-8 without the flag; text in another encoding is hardly ever valid UTF-8.
    """
    # not `filename`, which ends at the first NUL
    name = info.orig_filename
    if info.flag_bits & UTF8_FLAG:
        return name
    raw = name.encode("cp437")  # zipfile decoded it so, which loses nothing
    try:
        return _unicode_path(info.extra, raw) or raw.decode()
    except UnicodeDecodeError:
        return name


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the extra field, unless the member was renamed since."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return field[5:].decode()
    return None
