"""Opaque cursors that mark the end of a page of the job list."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from asgard_async.api.errors import InvalidRequest
from asgard_async.store.listing import Cursor

_Parts = tuple[Annotated[datetime, Meta(tz=True)], Annotated[int, Meta(ge=0, le=2**63 - 1)]]
_decoder: msgspec.json.Decoder[_Parts] = msgspec.json.Decoder(_Parts)


def write_cursor(cursor: Cursor) -> str:
    """Encode a cursor as text."""
    parts = msgspec.json.encode((cursor.created_at.astimezone(UTC), cursor.seq))
    return base64.urlsafe_b64encode(parts).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """Decode the text of a cursor.

    Raises:
        InvalidRequest: the text is not a cursor.
    """
    try:
        parts = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        created_at, seq = _decoder.decode(parts)
        return Cursor(created_at=created_at.astimezone(UTC), seq=seq)
    except (UnicodeError, binascii.Error, msgspec.MsgspecError, OverflowError) as error:
        raise InvalidRequest(
            {"cursor": ["Not a cursor of this list; pass 'next_cursor' unchanged."]}
        ) from error
