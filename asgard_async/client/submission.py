"""The body of an upload, made from a script, an archive or a directory."""

import asyncio
import json
import os
import warnings
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

import aiohttp

from asgard_async.client.directory import write_archive
from asgard_async.client.directory_contents import Contents
from asgard_async.client.transport import Body, json_body

T = TypeVar("T")

ARCHIVES = (".zip", ".tar.gz", ".tgz")
NAME_OF_SOURCE = "train.py"
MAX_NAMED = 5
"""Number of files that the warning about an upload names."""


class UploadWarning(UserWarning):
    """Files of a directory were left out of an upload."""


def list_of_text(name: str, texts: Sequence[str]) -> list[str]:
    """Return the value of an argument as a list.

    Raises:
        TypeError: it is a string, whose characters would count as its entries.
    """
    if isinstance(texts, str):
        raise TypeError(f"{name} must be a list: {name}=[{texts!r}]")
    return list(texts)


def needs_entrypoint(path: Path) -> bool:
    """Return whether a path is a directory or an archive, so that the file to run must be named."""
    return path.is_dir() or path.name.lower().endswith(ARCHIVES)


@contextmanager
def upload_of(
    script: str | os.PathLike[str] | None,
    source: str | bytes | None,
    *,
    script_name: str | None,
    entrypoint: str | None,
    fields: Mapping[str, Any],
) -> Iterator[tuple[Body, str | None]]:
    """Create the body of an upload and its Content-Type (None: the body sets it).

    Blocks: reads files, and packs a directory into a temporary file that is deleted on exit.

    Raises:
        ValueError, TypeError: the arguments are ambiguous or contradictory.
        OSError: a file cannot be read.
    """
    if (script is None) == (source is None):
        raise TypeError("Pass either the path of a script, or source= with its text.")
    if source is not None:
        content = source.encode() if isinstance(source, str) else source
        name = script_name or NAME_OF_SOURCE
    else:
        path = _path_of(script)
        if needs_entrypoint(path):
            if entrypoint is None:
                raise ValueError(f"{path.name} needs entrypoint=, the .py file to run.")
            if script_name is not None:
                raise ValueError("script_name= is for scripts; an archive is named by its file.")
            contents = script if isinstance(script, Contents) else None
            with _archive(path, contents) as (name, file):
                yield _form_body(name, file, {**fields, "entrypoint": entrypoint}), None
            return
        content = path.read_bytes()
        name = script_name or path.name
    if entrypoint is not None:
        raise ValueError("entrypoint= is only for an archive or a directory.")
    document = {**fields, "script_name": name, "script_content": b64encode(content).decode()}
    yield json_body(document), "application/json"


@asynccontextmanager
async def in_thread(blocking: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and exit a blocking context manager without blocking the event loop."""
    target = await asyncio.to_thread(blocking.__enter__)
    try:
        yield target
    except BaseException as error:
        await asyncio.to_thread(blocking.__exit__, type(error), error, error.__traceback__)
        raise
    await asyncio.to_thread(blocking.__exit__, None, None, None)


def _path_of(script: str | os.PathLike[str] | None) -> Path:
    text = os.fspath(script or "")
    if "\n" in text:
        raise ValueError("Expected a path; use submit(source=…) for the text of a script.")
    path = Path(text).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{text!r} does not exist; pass the text of a script as source=.")
    return path


@contextmanager
def _archive(path: Path, contents: Contents | None) -> Iterator[tuple[str, IO[bytes]]]:
    if path.is_dir():
        with TemporaryFile() as file:
            left_out = write_archive(contents or path, file)
            file.flush()  # a different file object sends the data
            if left_out:
                warnings.warn(_left_out_message(left_out), UploadWarning, stacklevel=2)
            yield f"{path.resolve().name or 'directory'}.tar.gz", file
    else:
        with path.open("rb") as file:
            yield path.name, file


def _left_out_message(left_out: Sequence[str]) -> str:
    named = ", ".join(left_out[:MAX_NAMED])
    others = len(left_out) - MAX_NAMED
    more = f" and {others} more" if others > 0 else ""
    return (
        f"Left out of the upload: {named}{more}. To send an ignored file all the same, add a line"
        " such as !data.csv to .asgardignore."
        if any(text.endswith("ignore)") for text in left_out)
        else f"Left out of the upload: {named}{more}."
    )


def _form_body(name: str, file: IO[bytes], fields: Mapping[str, Any]) -> Body:
    descriptor = file.fileno()

    def make() -> AbstractContextManager[aiohttp.FormData]:
        form = aiohttp.FormData()
        for field, value in fields.items():
            for entry in value if isinstance(value, list) else [value]:
                form.add_field(field, entry if isinstance(entry, str) else json.dumps(entry))
        # a copy, because aiohttp closes the file after sending, and a retry sends it again
        copy = os.fdopen(os.dup(descriptor), "rb")
        copy.seek(0)
        form.add_field("archive", copy, filename=name, content_type="application/octet-stream")
        return _closing(form, copy)

    return make


@contextmanager
def _closing(form: aiohttp.FormData, file: IO[bytes]) -> Iterator[aiohttp.FormData]:
    with file:
        yield form
