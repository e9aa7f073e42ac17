"""Upload forms."""

import io
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.app_server import Client

UPLOAD = "/mlops/training/upload"
NAMES = {"experiment_name": "experiment", "model_name": "model"}

File = tuple[str, bytes]
"""File name and content."""


def form(
    *,
    script: File | None = None,
    archive: File | None = None,
    requirements_file: bytes | None = None,
    **fields: str | list[str],
) -> aiohttp.FormData:
    """A form with defaults for the required fields; an empty value omits a field."""
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in {**NAMES, **fields}.items():
        for text in [value] if isinstance(value, str) else value:
            if text:
                data.add_field(name, text)
    for name, file in (("script", script), ("archive", archive)):
        if file is not None:
            data.add_field(name, io.BytesIO(file[1]), filename=file[0])
    if requirements_file is not None:
        data.add_field("requirements", requirements_file, filename="requirements.txt")
    return data


async def send(client: Client, data: Any, **headers: str) -> aiohttp.ClientResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(UPLOAD, data=data, headers=names)


async def accepted(client: Client, data: Any, **headers: str) -> dict[str, Any]:
    response = await send(client, data, **headers)
    document: dict[str, Any] = await response.json()
    assert response.status == 202, document
    assert response.headers["Location"] == document["links"]["self"]
    return document


def kept(data_dir: Path) -> list[str]:
    """Files in the upload and job directories of a data directory."""
    return [
        str(path.relative_to(data_dir))
        for name in ("archives", "jobs")
        for path in (data_dir / name).rglob("*")
    ]
