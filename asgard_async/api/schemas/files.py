"""The files of a job."""

import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from marshmallow import Schema, fields
from marshmallow.validate import Length, OneOf

from asgard_async.api.schemas.fields import QueryFlag
from asgard_async.api.schemas.jobs import job_path
from asgard_async.api.schemas.problem import EXAMPLE_JOB
from asgard_async.core.files.foreign_tree import Entry, Kind, Listing
from asgard_async.core.timestamps import rfc3339

JSON, TAR = "json", "tar"
MAX_TIME = 253_402_300_799
"""The end of the year 9999."""


class FilesQuery(Schema):
    """The folder to list, and the form of the response."""

    path = fields.String(
        load_default="",
        validate=Length(max=4096),
        metadata={"description": "A folder; by default the working directory."},
    )
    recursive = QueryFlag(
        load_default=True,
        metadata={"description": "false lists only what is directly in the folder."},
    )
    format = fields.String(
        load_default=JSON,
        validate=OneOf([JSON, TAR]),
        metadata={"description": "tar downloads everything in the folder."},
    )


class FileSchema(Schema):
    """A file, a folder, or something that cannot be downloaded."""

    path = fields.String(
        required=True,
        metadata={"description": "Below the working directory. Invalid UTF-8 becomes U+FFFD."},
    )
    type = fields.Enum(Kind, by_value=True, required=True)
    size = fields.Integer(required=True, allow_none=True, metadata={"description": "In bytes."})
    modified_at = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    url = fields.String(
        required=True,
        metadata={"description": "Path to download it from.", "format": "uri-reference"},
    )


class FileListSchema(Schema):
    """The files of a job, folders before their contents."""

    class Meta:
        example = {
            "files": [
                {
                    "path": "model.pkl",
                    "type": "file",
                    "size": 52318,
                    "modified_at": "2026-11-23T01:18:24.189000Z",
                    "url": f"{job_path(EXAMPLE_JOB)}/files/model.pkl",
                }
            ],
            "complete": True,
        }

    files = fields.List(fields.Nested(FileSchema), required=True)
    complete = fields.Boolean(
        required=True,
        metadata={
            "description": "false if there are more files than are listed, or closed folders."
        },
    )


def view_files(job_id: str, prefix: str, listing: Listing) -> dict[str, Any]:
    """Return the document of a listing of the folder at `prefix`, which ends with a slash."""
    return {
        "files": [_view(job_id, prefix, entry) for entry in listing.entries],
        "complete": listing.is_complete,
    }


def _view(job_id: str, prefix: str, entry: Entry) -> dict[str, Any]:
    raw = os.fsencode(prefix + entry.path)
    return {
        "path": raw.decode("utf-8", "replace"),
        "type": entry.kind,
        "size": entry.size if entry.kind is Kind.FILE else None,
        "modified_at": _moment(entry.modified_at),
        "url": f"{job_path(job_id)}/files/{quote(raw)}",
    }


def _moment(seconds: float) -> str | None:
    """Return a time, unless it is one that only a hostile job sets."""
    return rfc3339(datetime.fromtimestamp(seconds, UTC)) if 0 <= seconds <= MAX_TIME else None
