"""multipart/form-data bodies: parts are read as they arrive, and archives are written to disk.

Other parts are held in memory, with the same limit as a JSON body.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from asgard_async.api.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    UnsupportedMediaType,
)
from asgard_async.api.http.bodies import IncomingBodies, IncomingBody
from asgard_async.api.http.form_fields import REPEATED, add_field, is_field
from asgard_async.api.http.parser import is_unicode
from asgard_async.api.schemas.submission_rules import MAX_ARGS
from asgard_async.config import Config
from asgard_async.core.archives.suffixes import SUFFIXES, accepted_suffix
from asgard_async.domain.submission import UploadedArchive
from asgard_async.jobs.submit.requirements import MAX_REQUIREMENTS, QUICK_CHARACTERS
from asgard_async.store.archives import ArchiveStore

MAX_PARTS = MAX_REQUIREMENTS + MAX_ARGS + 100
"""`requirements` and `args` may be repeated."""
CHUNK = 1 << 16
BLOCK = 1 << 20
"""Bytes per write to disk; each write takes a call to a thread."""
PLAIN_ENCODINGS = {"7bit", "8bit", "binary"}
# aiohttp's reader raises these for crafted bodies; `Warning` if warnings are errors.
READER_ERRORS = (
    ValueError,
    LookupError,
    RuntimeError,
    AssertionError,
    HttpProcessingError,
    web.RequestPayloadError,
    Warning,
)


@dataclass(kw_only=True)
class Form:
    """The content of a form: fields converted to JSON values, files, and field errors."""

    document: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    script: bytes | None = None
    archive: UploadedArchive | None = None
    file_name: str | None = None
    """Name of the script or archive."""

    def add_error(self, name: str, message: str) -> None:
        self.errors.setdefault(name, []).append(message)


async def read_form(
    request: web.Request,
    archives: ArchiveStore,
    held: ExitStack,
    *,
    bodies: IncomingBodies,
    config: Config,
) -> Form:
    """Read a form; its archive is removed when `held` closes, unless it was persisted.

    Raises:
        UnsupportedMediaType: the body is compressed.
        BodyTooLarge: the archive or the other fields exceed their limit.
        BodyTooSlow: the body takes longer than [http] upload_seconds to arrive.
        TooManyBodies: no memory for the body became available in time.
        MalformedBody: the body is not multipart, or incomplete.
        InvalidRequest: the body has too many parts.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed, without Content-Encoding.")
    max_bytes = config.server.max_body_bytes + config.jobs.max_archive_bytes
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLarge(max_bytes)
    async with bodies.receive(
        request, seconds=config.http.upload_seconds, max_bytes=config.server.max_body_bytes
    ) as incoming:
        return await _FormReader(
            archives,
            held,
            incoming,
            max_form_bytes=config.server.max_body_bytes,
            max_archive_bytes=config.jobs.max_archive_bytes,
            direct_references=config.environments.allow_direct_references,
        ).read(request)


class _FormReader:
    def __init__(
        self,
        archives: ArchiveStore,
        held: ExitStack,
        incoming: IncomingBody,
        *,
        max_form_bytes: int,
        max_archive_bytes: int,
        direct_references: bool,
    ) -> None:
        self._archives = archives
        self._held = held
        self._incoming = incoming
        self._max_form_bytes = max_form_bytes
        self._max_archive_bytes = max_archive_bytes
        self._direct_references = direct_references
        self._form_bytes = 0
        self._files: set[str] = set()
        self._form = Form()

    async def read(self, request: web.Request) -> Form:
        with _malformed():
            multipart = await request.multipart()
        parts = 0
        while True:
            with _malformed():
                part = await multipart.next()
            if part is None:
                return self._form
            parts += 1
            if parts > MAX_PARTS:
                raise InvalidRequest({"body": [f"Must have at most {MAX_PARTS} parts."]})
            await self._take(part)

    async def _take(self, part: MultipartReader | BodyPartReader) -> None:
        if not isinstance(part, BodyPartReader):
            raise MalformedBody(
                "A part of the body is itself multipart; send each file as its own part."
            )
        with _malformed():
            name, file_name = part.name, part.filename
        if name is None:
            raise MalformedBody("A part of the body has no name in its Content-Disposition.")
        encoding = part.headers.get("Content-Transfer-Encoding", "binary").strip().lower()
        if encoding not in PLAIN_ENCODINGS:
            raise MalformedBody("A part of the body is encoded; send the bytes as they are.")
        if name in {"script", "archive"}:
            await self._take_file(name, file_name, part)
        else:
            # unknown fields are read too, so that all errors are reported at once
            value = await self._in_memory(part, keep=is_field(name))
            add = partial(
                add_field,
                self._form.document,
                self._form.add_error,
                name,
                value,
                is_file=bool(file_name),
                direct_references=self._direct_references,
            )
            if len(value) > QUICK_CHARACTERS:
                await asyncio.to_thread(add)
            else:
                add()

    async def _take_file(self, name: str, file_name: str | None, part: BodyPartReader) -> None:
        if self._files:
            message = REPEATED if name in self._files else "Send either a script or an archive."
            self._form.add_error(name, message)
        elif file_name is not None and not is_unicode(file_name):
            self._form.add_error(name, "The file name must be valid UTF-8.")
        else:
            self._form.file_name = file_name
            self._files.add(name)
            if name == "script":
                self._form.script = await self._in_memory(part)
            else:
                await self._to_disk(file_name or "", part)
            return
        await self._in_memory(part, keep=False)

    async def _in_memory(self, part: BodyPartReader, *, keep: bool = True) -> bytes:
        content = bytearray()
        async for chunk in self._chunks(part):
            self._form_bytes += len(chunk)
            if self._form_bytes > self._max_form_bytes:
                raise BodyTooLarge(self._max_form_bytes)
            if keep:
                content += chunk
        return bytes(content)

    async def _to_disk(self, file_name: str, part: BodyPartReader) -> None:
        suffix = accepted_suffix(file_name)
        if suffix is None:
            self._form.add_error("archive", _wrong_suffix())
            await self._in_memory(part, keep=False)
            return
        file = self._held.enter_context(self._archives.receiving(SUFFIXES[suffix]))
        size, block = 0, bytearray()
        async for chunk in self._chunks(part):
            size += len(chunk)
            if size > self._max_archive_bytes:
                raise BodyTooLarge(self._max_archive_bytes)
            block += chunk
            if len(block) >= BLOCK:
                await file.write(bytes(block))
                block.clear()
        await file.write(bytes(block))
        await file.close()
        self._form.archive = UploadedArchive(name=file.name, sha256=file.sha256)

    async def _chunks(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        while not part.at_eof():
            with _malformed():
                chunk = await part.read_chunk(CHUNK)
            await self._incoming.count(chunk)
            yield chunk


def _wrong_suffix() -> str:
    *others, last = SUFFIXES
    return f"The file name must end in {', '.join(others)} or {last}."


@contextmanager
def _malformed() -> Iterator[None]:
    try:
        yield
    except READER_ERRORS as error:
        raise MalformedBody(
            "The body is not valid multipart/form-data for its Content-Type, or is incomplete."
        ) from error
