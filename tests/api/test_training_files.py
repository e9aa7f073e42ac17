"""The files of a job, over HTTP."""

import asyncio
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from asgard_async.auth.token import Scope
from asgard_async.config.component import CONFIG
from asgard_async.core.timestamps import now
from asgard_async.executors.component import EXECUTOR
from tests.store.conftest import accept
from tests.support.api_service import (
    cancel,
    finished,
    get_json,
    problem,
    running,
    service_config,
    store_of,
    submit,
    tokens_of,
)
from tests.support.app_server import Client
from tests.support.eventually import eventually

LEAVES = """
import os, pathlib
pathlib.Path("out").mkdir()
pathlib.Path("out/model.bin").write_bytes(bytes(range(256)) * 4000)
pathlib.Path("metrics.json").write_text('{"loss": 0.5}')
os.symlink("/etc/passwd", "link")
os.mkfifo("fifo")
"""
HOSTILE = """
import os
for name in (b"line\\nbreak", b"\\xff", b"<script>", b"%2e%2e", b'quo"te', b"caf\\xc3\\xa9"):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    os.mkdir(b"in " + name)
    with open(b"in " + name + b"/x", "w") as file:
        file.write("content")
os.utime(b"\\xff", (0, -1))
"""

pytestmark = pytest.mark.service

CONTENT = bytes(range(256)) * 4000


def path_of(job_id: str, path: str = "") -> str:
    return f"/mlops/training/jobs/{job_id}/files{path}"


async def left(api: Client, script: str = LEAVES, **fields: Any) -> str:
    """The id of a job that has run a script."""
    job = await submit(api, script, **fields)
    assert (await finished(api, job["job_id"]))["status"] == "completed"
    return str(job["job_id"])


async def test_the_files_of_a_job_are_listed(busy_api: Client) -> None:
    job_id = await left(busy_api)
    document = await get_json(busy_api, path_of(job_id))
    assert document["complete"] is True
    found = {file["path"]: (file["type"], file["size"]) for file in document["files"]}
    assert found == {
        "fifo": ("other", None),
        "link": ("link", None),
        "metrics.json": ("file", 13),
        "out": ("directory", None),
        "out/model.bin": ("file", len(CONTENT)),
        "train.py": ("file", len(LEAVES)),
    }
    below = await get_json(busy_api, path_of(job_id, "?path=out"))
    assert [file["path"] for file in below["files"]] == ["out/model.bin"]
    top = await get_json(busy_api, path_of(job_id), recursive="false")
    assert "out/model.bin" not in [file["path"] for file in top["files"]]
    for file in document["files"]:
        response = await busy_api.get(file["url"])
        assert response.status == (200 if file["type"] in {"file", "directory"} else 404)
        assert response.headers["Content-Type"] != "text/html"


async def test_a_file_is_downloaded_whole_or_in_part(busy_api: Client) -> None:
    path = path_of(await left(busy_api), "/out/model.bin")
    await asyncio.sleep(0)
    response = await busy_api.get(path)
    assert (response.status, await response.read()) == (200, CONTENT)
    assert response.content_type == "application/octet-stream"
    assert response.headers["Content-Disposition"] == 'attachment; filename="model.bin"'
    assert response.headers["Accept-Ranges"] == "bytes"
    size = len(CONTENT)
    for wanted, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=1000-", 1000, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=5-{size * 2}", 5, size),
    ):
        response = await busy_api.get(path, headers={"Range": wanted})
        assert (response.status, await response.read()) == (206, CONTENT[start:end])
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    for ignored in ("bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes=9-5", "bytes=x-"):
        response = await busy_api.get(path, headers={"Range": ignored})
        assert (response.status, await response.read()) == (200, CONTENT)
    response = await busy_api.get(path, headers={"Range": f"bytes={size}-"})
    await problem(response, 416)
    assert response.headers["Content-Range"] == f"bytes */{size}"
    response = await busy_api.head(path)
    assert (response.status, response.headers["Content-Length"]) == (200, str(size))


async def test_etags_follow_the_state_of_a_file(api: Client) -> None:
    job_id = await left(api)
    path = path_of(job_id, "/metrics.json")
    file = work_of(api, job_id) / "metrics.json"

    async def settled() -> str:
        etag = (await api.get(path)).headers["ETag"]
        return "" if etag.startswith("W/") else etag

    etag = await eventually(settled, what="a strong ETag")
    response = await api.get(path, headers={"If-None-Match": etag})
    assert (response.status, await response.read()) == (304, b"")
    part = {"Range": "bytes=0-0", "If-Range": etag}
    assert (await api.get(path, headers=part)).status == 206
    file.write_text('{"loss": 0.4}')
    assert (await api.get(path, headers={"If-None-Match": etag})).status == 200
    response = await api.get(path, headers=part)
    assert (response.status, await response.read()) == (200, b'{"loss": 0.4}')
    weak = response.headers["ETag"]
    assert weak.startswith("W/")
    assert (await api.get(path, headers={**part, "If-Range": weak})).status == 200


def work_of(api: Client, job_id: str) -> Path:
    return Path(api.app[CONFIG].data_dir, "jobs", job_id, "attempts", "1", "work")


@pytest.mark.parametrize("path", ["/out", "/out/", "?path=out&format=tar"])
async def test_a_folder_is_downloaded_as_a_tar(busy_api: Client, path: str) -> None:
    response = await busy_api.get(path_of(await left(busy_api), path))
    assert (response.status, response.content_type) == (200, "application/x-tar")
    assert response.headers["Content-Disposition"] == 'attachment; filename="out.tar"'
    with tarfile.open(fileobj=io.BytesIO(await response.read())) as archive:
        assert archive.getnames() == ["model.bin"]


async def test_all_files_are_downloaded_as_a_tar(busy_api: Client) -> None:
    job_id = await left(busy_api)
    for path in ("?format=tar", "/"):
        response = await busy_api.get(path_of(job_id, path))
        assert f"{job_id}.tar" in response.headers["Content-Disposition"]
        with tarfile.open(fileobj=io.BytesIO(await response.read())) as archive:
            names = archive.getnames()
        assert names == ["metrics.json", "out", "out/model.bin", "train.py"]


async def test_files_are_readable_while_the_job_runs(busy_api: Client) -> None:
    script = "import time\nopen('early', 'w').write('x')\nprint('!')\ntime.sleep(60)"
    job_id = (await submit(busy_api, script))["job_id"]

    async def is_listed() -> bool:
        document = await get_json(busy_api, path_of(job_id))
        return "early" in [file["path"] for file in document["files"]]

    await eventually(is_listed, what="the file is listed")
    assert (await busy_api.get(path_of(job_id, "/early"))).status == 200
    await cancel(busy_api, job_id)
    assert (await busy_api.get(path_of(job_id, "/early"))).status == 200


async def test_hostile_names_are_listed_and_downloaded(busy_api: Client) -> None:
    job_id = await left(busy_api, HOSTILE)
    document = await get_json(busy_api, path_of(job_id))
    files = {file["path"]: file for file in document["files"]}
    assert len(files) == 1 + 3 * 6
    assert files["\ufffd"]["modified_at"] is None
    assert files["in line\nbreak/x"]["url"].endswith("/in%20line%0Abreak/x")
    for file in files.values():
        response = await busy_api.get(file["url"])
        assert response.status == 200, file
        if file["path"].endswith("/x"):
            assert await response.read() == b"content"


@pytest.mark.parametrize(
    "path",
    [
        *("/../attempts", "/%2e%2e/exit.json", "/out/%2E%2E/%2E%2E/pid.json", "/missing"),
        *("/link", "/fifo", "/metrics.json/x", "/link/x", "/%00", "/a%00b", "/out%2Fmodel.bin"),
    ],
)
async def test_other_paths_are_refused(api: Client, path: str) -> None:
    job_id = await left(api)
    url = api.make_url("/").raw_host
    assert url
    reader, writer = await asyncio.open_connection(url, api.make_url("/").port)
    request = f"GET {path_of(job_id, path)} HTTP/1.0\r\nHost: {url}\r\n\r\n"
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    if path == "/out%2Fmodel.bin":  # the same path
        assert b" 200 " in answer.partition(b"\r\n")[0]
    else:
        assert b" 404 " in answer.partition(b"\r\n")[0]
        assert b"exit_code" not in answer.partition(b"\r\n\r\n")[2]


async def test_a_file_that_shrinks_breaks_the_response_off(api: Client) -> None:
    job_id = await left(api, "open('big', 'wb').truncate(1 << 30)")
    response = await api.get(path_of(job_id, "/big"))
    assert response.content_length == 1 << 30
    await response.content.readexactly(1000)
    os.truncate(work_of(api, job_id) / "big", 2000)
    with pytest.raises((ClientPayloadError, ConnectionError)):
        await response.read()
    assert (await api.get(path_of(job_id))).status == 200


async def test_deleted_files_are_gone_with_the_reason(api: Client) -> None:
    job_id = await left(api)
    files = api.app[EXECUTOR].files
    await asyncio.to_thread(files.remove_directory, job_id, why="ended more than 30 days ago")
    for path in ("", "/metrics.json", "?format=tar"):
        refusal = await problem(await api.get(path_of(job_id, path)), 410)
        assert refusal["type"] == "urn:asgard:problem:files-not-kept"
        assert "[retention]" in refusal["detail"]
        assert "ended more than 30 days ago" in refusal["detail"]


async def test_a_queued_job_has_no_files(shared_api: Client) -> None:
    job = await accept(store_of(shared_api))
    assert (await get_json(shared_api, path_of(job.job_id)))["files"] == []
    refusal = await problem(await shared_api.get(path_of(job.job_id, "/x")), 404)
    assert refusal["type"] == "urn:asgard:problem:file-not-found"
    await problem(await shared_api.get(path_of("00000000")), 404)
    await problem(await shared_api.get(path_of("00000000", "/x")), 404)
    await problem(await shared_api.get(path_of(job.job_id, "?format=zip")), 422)


async def test_too_many_files_are_listed_in_part(api: Client) -> None:
    script = "for n in range(25_000): open(f'{n}', 'w').close()"
    job_id = await left(api, script)
    document = await get_json(api, path_of(job_id))
    assert (len(document["files"]), document["complete"]) == (20_000, False)
    await problem(await api.get(path_of(job_id, "?format=tar")), 422)


@pytest.mark.parametrize("others_read", [True, False])
async def test_others_read_files_as_they_read_logs(tmp_path: Path, *, others_read: bool) -> None:
    config = service_config(tmp_path, access={"others_read": others_read})
    async with running(config) as client:
        job_id = await left(client)
        tokens = tokens_of(client)
        made = tokens.create(name="eve", scope=Scope.READ, at=now())
        headers = {"Authorization": f"Bearer {made.secret}"}
        for path in ("", "/metrics.json"):
            response = await client.get(path_of(job_id, path), headers=headers)
            assert response.status == (200 if others_read else 404)
            assert (await client.get(path_of(job_id, path))).status == 401
        (tmp_path / "tokens.json").unlink()  # the client looks for running jobs on exit
