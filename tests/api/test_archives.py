"""Archives uploaded as forms: run, rejected, interrupted, downloaded and deleted."""

import asyncio
import io
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from asgard_async.config.component import CONFIG
from asgard_async.jobs.submit.component import SUBMITTER
from asgard_async.store.component import STORE
from tests.api.http.test_multipart import BOUNDARY, END, part
from tests.api.test_training_upload import job_ids
from tests.support.api_service import (
    ENDLESS,
    Document,
    cancel,
    finished,
    in_status,
    job,
    problem,
    refused_fields,
    running,
    service_config,
)
from tests.support.app_server import Client
from tests.support.archives import REFUSED, TIGHT, TRAIN, tar_gz_of, zip_of
from tests.support.eventually import eventually
from tests.support.upload_forms import NAMES, accepted, form, kept, send

PROJECT = {
    "src/train.py": (
        "import json, os, sys\n"
        "from helpers.names import NAME\n"
        "row = open('data/rows.csv').read()\n"
        "print(json.dumps([NAME, row, sys.argv, sys.path[0] == os.getcwd() + '/src',"
        " __file__, __name__]))\n"
    ),
    "src/helpers/__init__.py": "",
    "src/helpers/names.py": "NAME = 'imported'\n",
    "data/rows.csv": "1,2",
}
EXPECTED_LOG = '["imported", "1,2", ["src/train.py"], true, "%s", "__main__"]\n'
KINDS = [
    ("project.zip", zip_of, "application/zip"),
    ("project.tar.gz", tar_gz_of, "application/gzip"),
    ("project.TGZ", tar_gz_of, "application/gzip"),
]

Make = Callable[[dict[str, str]], bytes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """One service for tests that only send uploads to be rejected: nothing may ever be stored."""
    jobs = {
        "max_archive_members": TIGHT["max_members"],
        "max_unpacked_bytes": TIGHT["max_unpacked_bytes"],
    }
    data_dir = tmp_path_factory.mktemp("refusing")
    async with running(service_config(data_dir, jobs=jobs)) as client:
        yield client
    assert not kept(data_dir)


def data_dir_of(client: Client) -> Path:
    root: Path = client.app[CONFIG].data_dir
    return root


def on_disk(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "archives").iterdir())


@pytest.mark.parametrize(("name", "make", "kind"), KINDS, ids=[kind[0] for kind in KINDS])
async def test_an_archive_runs_and_can_be_downloaded(
    shared_api: Client, name: str, make: Make, kind: str
) -> None:
    api = shared_api
    content = make(PROJECT)
    made = await accepted(api, form(archive=(name, content), entrypoint="./src/train.py"))
    done = await finished(api, made["job_id"])
    work = data_dir_of(api) / "jobs" / made["job_id"] / "attempts" / "1" / "work"
    assert (done["status"], done["reason"]) == ("completed", "succeeded"), done["logs"]
    assert done["logs"] == EXPECTED_LOG % (work / "src/train.py")
    assert (done["script_name"], done["entrypoint"]) == (name, "src/train.py")
    response = await api.get(f"{made['links']['self']}/script")
    assert response.status == 200
    assert await response.read() == content
    assert response.content_type == kind
    assert "Content-Encoding" not in response.headers
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'


async def test_an_archive_always_waits_for_mlflow(shared_api: Client) -> None:
    """Its other modules may use MLflow even if its entrypoint does not."""
    content = zip_of({"train.py": "import json\n"})
    made = await accepted(shared_api, form(archive=("a.zip", content), entrypoint="train.py"))
    assert (await shared_api.app[STORE].get(made["job_id"])).uses_tracking


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("suffix", "make", "message"), [*REFUSED.values()], ids=[*REFUSED])
async def test_a_rejected_archive_leaves_nothing(
    refusing: Client, suffix: str, make: Callable[[], bytes], message: str
) -> None:
    data = form(archive=(f"x{suffix}", make()), entrypoint="train.py")
    response = await send(refusing, data)
    errors = await refused_fields(response)
    assert errors.keys() == {"archive"}
    assert message in errors["archive"][0]
    assert str(data_dir_of(refusing)) not in await response.text()
    assert not await job_ids(refusing)
    assert not kept(data_dir_of(refusing))


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("entrypoint", "files"),
    [
        ("", PROJECT),
        ("other.py", PROJECT),
        ("src", PROJECT),
        ("src/", PROJECT),
        ("data/rows.csv", PROJECT),
        ("/src/train.py", PROJECT),
        ("../src/train.py", PROJECT),
        ("src/../src/train.py", PROJECT),
        ("src\\train.py", PROJECT),
        ("train.py", {"train.py": "def broken(:\n"}),
        ("train.py", {"train.py": ""}),
        ("train.py", {"train.py": "#" * 1048577}),
        ("train.py", {"train.py/x": ""}),
    ],
)
async def test_an_entrypoint_must_be_a_script_in_the_archive(
    refusing: Client, entrypoint: str, files: dict[str, str]
) -> None:
    data = form(archive=("a.zip", zip_of(files)), entrypoint=entrypoint)
    assert (await refused_fields(await send(refusing, data))).keys() == {"entrypoint"}
    assert not kept(data_dir_of(refusing))


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_a_form_has_either_a_script_or_an_archive(refusing: Client) -> None:
    archive, script = ("a.zip", zip_of(PROJECT)), ("train.py", TRAIN.encode())
    for data, wrong in [
        (
            form(archive=archive, script=script, entrypoint="src/train.py"),
            {"archive", "entrypoint"},
        ),
        (form(archive=("a.rar", archive[1]), entrypoint="src/train.py"), {"archive"}),
        (form(archive=("", archive[1]), entrypoint="src/train.py"), {"archive", "script_name"}),
        (form(archive=archive, entrypoint="src/train.py", script_name="x"), {"script_name"}),
        (form(archive=archive, entrypoint="src/train.py", timeout="x"), {"timeout"}),
    ]:
        assert (await refused_fields(await send(refusing, data))).keys() == wrong
        assert not kept(data_dir_of(refusing))


async def test_an_idempotency_key_covers_the_archive(shared_api: Client) -> None:
    before = on_disk(data_dir_of(shared_api))
    content = zip_of({"train.py": TRAIN, "other.py": TRAIN})
    first = await accepted(
        shared_api,
        form(archive=("a.zip", content), entrypoint="train.py"),
        Idempotency_Key="own",
    )
    again = await send(
        shared_api,
        form(archive=("a.zip", content), entrypoint="train.py"),
        Idempotency_Key="own",
    )
    assert again.status == 200
    assert (await again.json())["job_id"] == first["job_id"]
    for data in (
        form(archive=("a.zip", content), entrypoint="other.py"),
        form(archive=("a.zip", zip_of({"train.py": "1"})), entrypoint="train.py"),
    ):
        await problem(await send(shared_api, data, Idempotency_Key="own"), 409)
    assert len(on_disk(data_dir_of(shared_api))) == len(before) + 1


async def test_concurrent_identical_uploads_store_one_archive(shared_api: Client) -> None:
    before = on_disk(data_dir_of(shared_api))
    content = zip_of({"train.py": TRAIN})

    async def twin() -> int:
        data = form(archive=("a.zip", content), entrypoint="train.py")
        return (await send(shared_api, data, Idempotency_Key="twin")).status

    assert sorted(await asyncio.gather(*(twin() for _ in range(6)))) == [200] * 5 + [202]
    assert len(on_disk(data_dir_of(shared_api))) == len(before) + 1


async def test_an_archive_stays_for_a_retry_of_a_deleted_job(api: Client, tmp_path: Path) -> None:
    content = zip_of(PROJECT)
    first = await accepted(api, form(archive=("a.zip", content), entrypoint="src/train.py"))
    await finished(api, first["job_id"])
    response = await api.post(f"{first['links']['self']}/retry")
    second: Document = await response.json()
    assert response.status == 202
    assert len(on_disk(tmp_path)) == 2
    assert (await api.delete(first["links"]["self"])).status == 204
    done = await finished(api, second["job_id"])
    assert done["logs"].startswith('["imported"')
    script = await api.get(f"{second['links']['self']}/script")
    assert await script.read() == content
    assert len(on_disk(tmp_path)) == 1
    assert (await api.delete(second["links"]["self"])).status == 204
    assert not kept(tmp_path)


@pytest.mark.service
async def test_a_full_queue_leaves_nothing(tmp_path: Path) -> None:
    config = service_config(tmp_path, jobs={"max_concurrent_jobs": 1, "max_queued_jobs": 1})
    async with running(config) as client:
        endless = zip_of({"train.py": ENDLESS})
        first = await accepted(client, form(archive=("a.zip", endless), entrypoint="train.py"))
        await in_status(client, first["job_id"], "running")
        second = await accepted(client, form(archive=("a.zip", endless), entrypoint="train.py"))
        refused = await send(client, form(archive=("a.zip", endless), entrypoint="train.py"))
        await problem(refused, 429)
        await problem(await client.post(f"{first['links']['self']}/retry"), 429)
        assert len(on_disk(tmp_path)) == 2
        await cancel(client, second["job_id"])
        client.app[SUBMITTER].close()
        draining = await send(client, form(archive=("a.zip", endless), entrypoint="train.py"))
        await problem(draining, 503)
        assert len(on_disk(tmp_path)) == 2


@pytest.mark.service
async def test_an_archive_over_the_limit_is_413(tmp_path: Path) -> None:
    config = service_config(
        tmp_path,
        server={"max_body_bytes": 5000},
        jobs={"max_archive_bytes": 2000, "max_script_bytes": 500},
    )
    async with running(config) as client:
        noise = zip_of({"train.py": TRAIN, "x": "x" * 2000}, method=zipfile.ZIP_STORED)
        for content in (
            noise,
            noise * 4,
        ):  # the second has too large a Content-Length
            data = form(archive=("a.zip", content), entrypoint="train.py")
            await problem(await send(client, data), 413)
        assert not kept(tmp_path)
        small = form(archive=("a.zip", zip_of({"train.py": TRAIN})), entrypoint="train.py")
        await accepted(client, small)


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_an_interrupted_upload_leaves_nothing(refusing: Client) -> None:
    api, data_dir = refusing, data_dir_of(refusing)
    begin = part('form-data; name="archive"; filename="a.zip"')[: -len(b"x\r\n")]
    _, writer = await asyncio.open_connection(api.server.host, api.server.port)
    head = (
        f"POST /mlops/training/upload HTTP/1.1\r\nHost: {api.server.host}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        "Content-Length: 50000000\r\n\r\n"
    )
    writer.write(head.encode() + begin + b"x" * 3_000_000)
    await writer.drain()
    await eventually(lambda: on_disk(data_dir), what="the archive starts to arrive")
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: not on_disk(data_dir), what="the archive is gone")
    assert not await job_ids(api)


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
async def test_a_truncated_chunked_body_is_400(refusing: Client) -> None:
    async def body() -> object:
        yield part('form-data; name="archive"; filename="a.zip"')[:-2] + b"x" * 2_000_000

    headers = {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}
    await problem(await send(refusing, body(), **headers), 400)
    assert not kept(data_dir_of(refusing))


async def test_parts_may_come_in_any_order(shared_api: Client) -> None:
    fields = {**NAMES, "entrypoint": "train.py"}
    archive = part(
        'form-data; name="archive"; filename="a.tgz"',
        tar_gz_of({"train.py": TRAIN}),
        "Content-Type: application/gzip",
    )
    parts = [part(f'form-data; name="{name}"', value.encode()) for name, value in fields.items()]
    headers = {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}"}
    for body in ([archive, *parts], [*parts, archive]):
        made = await accepted(shared_api, b"".join([*body, END]), **headers)
        assert (await finished(shared_api, made["job_id"]))["logs"] == "trained\n"


@pytest.mark.service
async def test_a_corrupted_archive_fails_its_job(tmp_path: Path) -> None:
    config = service_config(tmp_path, jobs={"max_concurrent_jobs": 1})
    async with running(config) as client:
        endless = zip_of({"train.py": ENDLESS})
        first = await accepted(client, form(archive=("a.zip", endless), entrypoint="train.py"))
        await in_status(client, first["job_id"], "running")
        made = await accepted(client, form(archive=("b.zip", endless), entrypoint="train.py"))
        record = await client.app[STORE].get(made["job_id"])
        (tmp_path / "archives" / str(record.archive)).write_bytes(b"")
        await cancel(client, first["job_id"])
        ended = await finished(client, made["job_id"])
        assert ended["reason"] == "start_failed"
        assert ended["error"] == (
            "The script could not be started: its archive cannot be unpacked. The archive is"
            " damaged, or its suffix is wrong (BadZipFile). Submit the job again."
        )


@pytest.mark.service
async def test_orphaned_files_are_deleted_at_startup(tmp_path: Path) -> None:
    """Files that `kill -9` leaves between fsync and commit."""
    async with running(service_config(tmp_path)) as client:
        archive = ("a.zip", zip_of({"train.py": TRAIN}))
        made = await accepted(client, form(archive=archive, entrypoint="train.py"))
        await finished(client, made["job_id"])
    mine = on_disk(tmp_path)
    (tmp_path / "archives" / f"{'0' * 32}.zip").write_bytes(b"stray")
    async with running(service_config(tmp_path)) as client:
        assert on_disk(tmp_path) == mine
        assert (await job(client, made["job_id"]))["entrypoint"] == "train.py"


def test_other_tools_read_the_archives_of_these_tests() -> None:
    assert zipfile.ZipFile(io.BytesIO(zip_of(PROJECT))).testzip() is None
    with tarfile.open(fileobj=io.BytesIO(tar_gz_of(PROJECT))) as archive:
        assert set(archive.getnames()) == set(PROJECT)
