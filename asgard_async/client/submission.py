"""What is submitted: a script, an archive or a directory, as the body of an upload."""

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

import aiohttp

from asgard_async.client.directory import write_archive
from asgard_async.client.transport import Body, json_body

T = TypeVar("T")

ARCHIVES = (".zip", ".tar.gz", ".tgz")
NAME_OF_SOURCE = "train.py"


def check_requirements(requirements: Sequence[str]) -> list[str]:
    """The requirements as a list.

    Raises:
        TypeError: they are one text, whose characters would be taken for requirements.
    """
    if isinstance(requirements, str):
        raise TypeError(f"requirements is a list: requirements=[{requirements!r}]")
    return list(requirements)


@contextmanager
def upload_of(
    script: str | os.PathLike[str] | None,
    source: str | bytes | None,
    *,
    script_name: str | None,
    entrypoint: str | None,
    fields: Mapping[str, Any],
) -> Iterator[tuple[Body, str | None]]:
    """The body of an upload and its Content-Type (None: the body knows it).

    Blocks: reads files, and archives directories into a temporary one that is gone at the end.

    Raises:
        ValueError, TypeError: it is not said, or not clearly, what to submit.
        OSError: that cannot be read.
    """
    if (script is None) == (source is None):
        raise TypeError("Give either the path of a script, or source= with its text.")
    if source is not None:
        content = source.encode() if isinstance(source, str) else source
        name = script_name or NAME_OF_SOURCE
    else:
        path = _path_of(script)
        if path.is_dir() or path.name.lower().endswith(ARCHIVES):
            if entrypoint is None:
                raise ValueError(f"{path.name} holds many files: entrypoint= says which is run.")
            if script_name is not None:
                raise ValueError("An archive is named by its file: leave script_name out.")
            with _archive(path) as (name, file):
                yield _form_body(name, file, {**fields, "entrypoint": entrypoint}), None
            return
        content = path.read_bytes()
        name = script_name or path.name
    if entrypoint is not None:
        raise ValueError("Only an archive or a directory has an entrypoint.")
    document = {**fields, "script_name": name, "script_content": b64encode(content).decode()}
    yield json_body(document), "application/json"


@asynccontextmanager
async def in_thread(blocking: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave what blocks without blocking the event loop."""
    entered = await asyncio.to_thread(blocking.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(blocking.__exit__, None, None, None)


def _path_of(script: str | os.PathLike[str] | None) -> Path:
    text = os.fspath(script or "")
    if "\n" in text:
        raise ValueError("That is no path but a text; submit(source=…) takes the text of a script.")
    path = Path(text).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no {text!r}; source= takes the text of a script.")
    return path


@contextmanager
def _archive(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if path.is_dir():
        with TemporaryFile() as file:
            write_archive(path, file)
            file.flush()  # it is sent by another file object
            yield f"{path.resolve().name or 'directory'}.tar.gz", file
    else:
        with path.open("rb") as file:
            yield path.name, file


def _form_body(name: str, file: IO[bytes], fields: Mapping[str, Any]) -> Body:
    descriptor = file.fileno()

    def make() -> AbstractContextManager[aiohttp.FormData]:
        form = aiohttp.FormData()
        for field, value in fields.items():
            for entry in value if isinstance(value, list) else [value]:
                form.add_field(field, entry if isinstance(entry, str) else json.dumps(entry))
        # aiohttp closes what it has sent, and it may have to be sent again
        copy = os.fdopen(os.dup(descriptor), "rb")
        copy.seek(0)
        form.add_field("archive", copy, filename=name, content_type="application/octet-stream")
        return _closing(form, copy)

    return make


@contextmanager
def _closing(form: aiohttp.FormData, file: IO[bytes]) -> Iterator[aiohttp.FormData]:
    with file:
        yield form
