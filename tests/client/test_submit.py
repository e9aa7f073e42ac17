"""Submitting scripts, archives and directories; nothing is ever run twice."""

import asyncio
import contextlib
import gzip
import io
import sys
import tarfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from asgard_async.client import (
    AsyncAsgardClient,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    Job,
    QueueFull,
    UploadWarning,
)
from asgard_async.client.directory import write_archive
from tests.client.conftest import NAMES, Names
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.tcp_relay import relaying


async def log_of(client: AsyncAsgardClient, job: Job) -> str:
    await client.wait(job, check=True)
    return "".join([text async for text in client.logs(job)])


async def test_source_is_submitted_with_every_option(
    client: AsyncAsgardClient,
) -> None:
    job = await client.submit(
        source="import os; print(os.environ['COLOUR'], 'ü')",
        environment_vars={"COLOUR": "blue"},
        requirements=["numpy"],
        timeout=77,
        tags={"team": "docs"},
        priority=5,
        warm=False,
        script_name="colour.py",
        **NAMES,
    )
    assert await log_of(client, job) == "blue ü\n"
    job = await client.get(job)
    assert (job.script_name, job.timeout, job.priority, job.warm) == ("colour.py", 77, 5, False)
    assert (job.requirements, job.tags) == (("numpy",), {"team": "docs"})
    assert job.succeeded
    assert job.created_at.tzinfo is not None
    assert job.history[0].phase == "queued"
    assert job.resources.peak_memory_bytes


async def test_a_script_is_submitted_by_its_path(client: AsyncAsgardClient, tmp_path: Path) -> None:
    path = tmp_path / "small.py"
    path.write_text("print('by path')")
    job = await client.submit(path, **NAMES)
    assert job.script_name == "small.py"
    assert await client.script(job) == path.read_bytes()
    assert await log_of(client, await client.submit(str(path), **NAMES)) == "by path\n"


async def test_an_archive_is_submitted_byte_for_byte(
    client: AsyncAsgardClient, tmp_path: Path
) -> None:
    path = tmp_path / "project.tar.gz"
    (tmp_path / "train.py").write_text("print('from an archive')")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "train.py", "src/train.py")
    job = await client.submit(
        path, entrypoint="src/train.py", requirements=["numpy", "pandas"], tags={"a": "b"}, **NAMES
    )
    assert await client.script(job) == path.read_bytes()
    assert await log_of(client, job) == "from an archive\n"
    assert (await client.get(job)).requirements == ("numpy", "pandas")


def project(directory: Path) -> Path:
    (directory / "package").mkdir(parents=True)
    (directory / "train.py").write_text("from package import value; print(value.VALUE)")
    (directory / "package/value.py").write_text("VALUE = 'from a directory'")
    (directory / ".git").mkdir()
    (directory / ".git/config").write_text("secret")
    (directory / "venv").mkdir()
    (directory / "venv/pyvenv.cfg").touch()
    (directory / "package/__pycache__").mkdir()
    (directory / "package/__pycache__/value.pyc").touch()
    return directory


async def test_a_directory_is_submitted_as_an_archive(
    client: AsyncAsgardClient, tmp_path: Path
) -> None:
    directory = project(tmp_path / "project")
    job = await client.submit(directory, entrypoint="train.py", idempotency_key="dir", **NAMES)
    assert job.script_name == "project.tar.gz"
    assert await log_of(client, job) == "from a directory\n"
    # the same files are the same submission, regardless of their location and times
    again = project(tmp_path / "elsewhere" / "project")
    twin = await client.submit(again, entrypoint="train.py", idempotency_key="dir", **NAMES)
    assert twin.job_id == job.job_id


def test_a_directory_that_is_too_large_is_rejected(tmp_path: Path) -> None:
    directory = project(tmp_path / "project")
    with (
        (tmp_path / "a.tar.gz").open("wb") as file,
        pytest.raises(ValueError, match="exceeds 10 bytes"),
    ):
        write_archive(directory, file, max_bytes=10)


async def test_what_is_left_out_is_a_warning(client: AsyncAsgardClient, tmp_path: Path) -> None:
    directory = project(tmp_path / "project")
    for number in range(7):
        (directory / f"{number}.log").touch()
    (directory / ".gitignore").write_text("*.log")
    with pytest.warns(UploadWarning) as caught:
        await client.submit(directory, entrypoint="train.py", **NAMES)
    (warning,) = caught
    assert str(warning.message).startswith("Left out of the upload: 0.log (.gitignore), 1.log (")
    assert "4.log (.gitignore) and 2 more. To send" in str(warning.message)


async def test_invalid_arguments_fail_before_sending(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.touch()
    async with AsyncAsgardClient("http://127.0.0.1:1", retry_for=0) as client:
        with pytest.raises(TypeError, match="either"):
            await client.submit(**NAMES)
        with pytest.raises(TypeError, match="either"):
            await client.submit("a.py", source="", **NAMES)
        with pytest.raises(ValueError, match=r"submit\(source=…\)"):
            await client.submit("import os\nprint()", **NAMES)
        with pytest.raises(FileNotFoundError, match=r"'none\.py'"):
            await client.submit("none.py", **NAMES)
        with pytest.raises(ValueError, match="entrypoint"):
            await client.submit(archive, **NAMES)
        with pytest.raises(ValueError, match="entrypoint"):
            await client.submit(source="", entrypoint="a.py", **NAMES)
        with pytest.raises(ValueError, match="script_name"):
            await client.submit(archive, entrypoint="a.py", script_name="b.zip", **NAMES)
        with pytest.raises(TypeError, match=r"requirements=\['numpy'\]"):
            await client.submit(source="", requirements="numpy", **NAMES)


async def test_invalid_fields_are_reported_by_name(client: AsyncAsgardClient) -> None:
    with pytest.raises(InvalidRequest, match="script_content: SyntaxError") as caught:
        await client.submit(source="x =", **NAMES)
    assert caught.value.status == 422
    assert caught.value.request_id


async def test_a_key_stands_for_one_submission(client: AsyncAsgardClient) -> None:
    first = await client.submit(source="print(1)", idempotency_key="one", **NAMES)
    twin = await client.submit(source="print(1)", idempotency_key="one", **NAMES)
    assert twin.job_id == first.job_id
    with pytest.raises(Conflict):
        await client.submit(source="print(2)", idempotency_key="one", **NAMES)
    # the client never generates the same key twice
    twins = [await client.submit(source="print(1)", **NAMES) for _ in range(2)]
    assert len({first.job_id, *(job.job_id for job in twins)}) == 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killed_service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that tests kill and start again."""
    data_dir = tmp_path_factory.mktemp("killed") / "data"
    async with running_service(data_dir, WITHOUT_MLFLOW) as started:
        yield started


@pytest.mark.service
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("form", ["script", "directory"])
async def test_a_service_killed_before_responding_has_one_job(
    killed_service: Service, tmp_path: Path, form: str
) -> None:
    """The service is killed after committing the job, and the client retries."""
    names: Names = {"experiment_name": "e", "model_name": form}
    async with (
        relaying(killed_service.port) as relay,
        AsyncAsgardClient(relay.url, retry_for=120) as client,
    ):
        killed = asyncio.Event()

        async def kill(answer: bytes) -> None:
            if b" 202 " in answer:
                relay.before_answer, relay.passing = None, False
                await killed_service.kill()
                killed.set()

        relay.before_answer = kill
        if form == "script":
            submitting = asyncio.create_task(client.submit(source="print('once')", **names))
        else:
            directory = project(tmp_path / "project")
            submitting = asyncio.create_task(
                client.submit(directory, entrypoint="train.py", **names)
            )
        async with asyncio.timeout(30):
            await killed.wait()
        await killed_service.start()
        relay.passing = True
        job = await submitting
        assert relay.connections >= 2
        assert [listed.job_id async for listed in client.list(model_name=form)] == [job.job_id]
        assert (await client.wait(job)).succeeded


async def test_retry_is_not_repeated_after_a_lost_response(shared: Service) -> None:
    async with relaying(shared.port) as relay, AsyncAsgardClient(relay.url) as client:
        job = await client.submit(source="print(1)", experiment_name="e", model_name="retried")

        async def lose(_answer: bytes) -> None:
            relay.passing = False

        relay.before_answer = lose
        with pytest.raises(ConnectionFailed, match="closed the connection") as caught:
            await client.retry(job)
        assert caught.value.sent
        relay.before_answer, relay.passing = None, True
        assert len([listed async for listed in client.list(model_name="retried")]) == 2


async def test_a_delete_with_a_lost_response_succeeds(shared: Service) -> None:
    async with relaying(shared.port) as relay, AsyncAsgardClient(relay.url) as client:
        job = await client.submit(source="print(1)", experiment_name="e", model_name="deleted")
        await client.wait(job)

        async def lose(_answer: bytes) -> None:
            relay.before_answer = None
            relay.cut()

        relay.before_answer = lose
        await client.delete(job)
        assert [listed async for listed in client.list(model_name="deleted")] == []


@pytest.mark.service
async def test_submitting_waits_for_a_full_queue(tmp_path: Path) -> None:
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_JOBS__MAX_QUEUED_JOBS": "1",
        "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
    }
    async with running_service(tmp_path / "data", settings) as service:
        async with AsyncAsgardClient(service.url, retry_for=0) as client:
            release = tmp_path / "release"
            wait = f"import os, time\nwhile not os.path.exists({str(release)!r}): time.sleep(.01)"
            running = await client.submit(source=wait, **NAMES)
            await service.phase(running.job_id, "running")
            queued = await client.submit(source="print(1)", **NAMES)
            with pytest.raises(QueueFull, match="queue is full") as caught:
                await client.submit(source="print(2)", **NAMES)
            assert caught.value.status == 429
        async with AsyncAsgardClient(service.url, retry_for=30) as patient:
            release.touch()
            last = await patient.submit(source="print(2)", **NAMES)
            assert (await patient.wait(last)).succeeded
            assert (await patient.get(queued)).succeeded


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges there")
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_race_for_links_puts_nothing_else_into_an_archive(tmp_path: Path, kind: str) -> None:
    """The owner of a directory swaps its content while somebody else packs it."""
    secrets, directory = tmp_path / "secrets", tmp_path / "project"
    secrets.mkdir()
    (secrets / "data").write_text("SECRET" * 100)
    directory.mkdir()
    place, own, link = directory / "place", tmp_path / "own", tmp_path / "link"
    if kind == "file":
        own.write_text("own")
        link.symlink_to(secrets / "data")
    else:
        own.mkdir()
        (own / "data").write_text("own")
        link.symlink_to(secrets)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for kept in (own, link):
                with contextlib.suppress(OSError):
                    kept.rename(place)
                    place.rename(kept)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            packed = io.BytesIO()
            with contextlib.suppress(ValueError, OSError):
                write_archive(directory, packed)
                assert b"SECRET" not in gzip.decompress(packed.getvalue())
    finally:
        stop.set()
        thread.join()
