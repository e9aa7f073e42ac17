"""The synchronous client: the same methods, in threads and notebooks, with Ctrl-C."""

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_origin

import pytest

from asgard_async.client import (
    AsgardClient,
    AsyncAsgardClient,
    ConnectionFailed,
    InvalidRequest,
    Job,
    JobFailed,
    NotFound,
)
from tests.client.conftest import NAMES
from tests.support.service import Service, free_port

ENDLESS = "print('ready', flush=True)\nimport time; time.sleep(60)"
ROOT = Path(__file__).parent.parent.parent


def public(kind: type) -> dict[str, object]:
    return {name: value for name, value in vars_of(kind).items() if not name.startswith("_")}


def vars_of(kind: type) -> dict[str, object]:
    return {name: getattr(kind, name) for name in dir(kind)}


def test_the_sync_client_mirrors_every_method() -> None:
    sync_names, async_names = public(AsgardClient), public(AsyncAsgardClient)
    assert sync_names.keys() == async_names.keys()
    for name in sync_names.keys() - {"close", "url"}:
        method, async_method = getattr(AsgardClient, name), getattr(AsyncAsgardClient, name)
        signature, async_signature = inspect.signature(method), inspect.signature(async_method)
        assert signature.parameters == async_signature.parameters
        assert method.__doc__ == async_method.__doc__
        assert method.__doc__
        assert not inspect.iscoroutinefunction(method)
        returns = get_origin(signature.return_annotation)
        assert returns not in {Coroutine, AsyncGenerator}
        assert (get_origin(async_signature.return_annotation) is AsyncGenerator) == (
            returns is Generator
        )
    constructor, async_constructor = (
        inspect.signature(AsgardClient),
        inspect.signature(AsyncAsgardClient),
    )
    assert constructor.parameters == async_constructor.parameters


def use(url: str) -> Job:
    """Notebook code: it runs inside an event loop."""
    with AsgardClient(url) as client:
        job = client.submit(source="for n in range(3): print('line', n)", **NAMES)
        assert "".join(client.logs(job, follow=True)) == "line 0\nline 1\nline 2\n"
        assert list(client.log_lines(job)) == ["line 0", "line 1", "line 2"]
        assert job.job_id in {listed.job_id for listed in client.list()}
        for line in client.log_lines(job):
            assert line == "line 0"
            break
        ended = client.wait(job, check=True)
        assert client.script(job).startswith(b"for n")
        again = client.retry(job)
        client.wait(again)
        client.delete(again)
        with pytest.raises(NotFound):
            client.get(again)
        with pytest.raises(InvalidRequest):
            client.submit(source="x =", **NAMES)
        failed = client.submit(source="raise SystemExit(3)", **NAMES)
        with pytest.raises(JobFailed):
            client.wait(failed, check=True)
        endless = client.submit(source=ENDLESS, **NAMES)
        with pytest.raises(TimeoutError):
            client.wait(endless, timeout=0.1)
        client.cancel(endless)
        return ended


async def test_the_client_works_in_a_thread_without_a_loop(shared: Service) -> None:
    assert (await asyncio.to_thread(use, shared.url)).succeeded
    assert "asgard-client" not in {thread.name for thread in threading.enumerate()}


async def test_the_client_works_inside_a_running_loop(service: Service) -> None:
    """As in a notebook: the call blocks the running loop and still gets its response."""
    assert use(service.url).succeeded


async def test_threads_share_a_client(shared: Service) -> None:
    def work(client: AsgardClient, number: int) -> str:
        job = client.submit(source=f"print({number})", **NAMES)
        text = "".join(client.logs(job, follow=True))
        assert client.wait(job).succeeded
        return text

    def all_of_them() -> list[str]:
        with AsgardClient(shared.url) as client, ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda number: work(client, number), range(16)))

    assert await asyncio.to_thread(all_of_them) == [f"{number}\n" for number in range(16)]


async def test_closing_ends_pending_calls_of_other_threads(shared: Service) -> None:
    client = AsgardClient(shared.url)
    job = await asyncio.to_thread(client.submit, source=ENDLESS, **NAMES)
    events = client.follow(job)
    await asyncio.to_thread(next, events)
    waiting = asyncio.create_task(asyncio.to_thread(client.wait, job))
    following = asyncio.create_task(asyncio.to_thread(list, events))
    await shared.says(job.job_id, "ready")
    await asyncio.to_thread(client.close)
    await shared.post(f"/mlops/training/jobs/{job.job_id}/cancel")
    for call in (waiting, following):
        with pytest.raises(RuntimeError, match="closed"):
            await call
    with pytest.raises(RuntimeError, match="is closed"):
        client.status()
    client.close()


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_an_unclosed_client_exits_silently(shared: Service) -> None:
    program = """
import sys
from asgard_async.client import AsgardClient
client = AsgardClient(sys.argv[1])
job = client.submit(source=sys.argv[2], experiment_name="e", model_name="m")
lines = client.log_lines(job, follow=True)
print(next(lines))
client.cancel(job)
"""
    done = await asyncio.to_thread(run, program, shared.url, ENDLESS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")


async def test_an_iterator_keeps_its_client(shared: Service) -> None:
    program = """
import gc, sys
from asgard_async.client import AsgardClient
def lines():
    client = AsgardClient(sys.argv[1])
    job = client.submit(source="print(1)", experiment_name="e", model_name="m")
    return client.log_lines(job, follow=True)
these = lines()
gc.collect()
print(list(these))
"""
    done = await asyncio.to_thread(run, program, shared.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['1']\n", "")


async def test_ctrl_c_ends_the_call_but_not_the_client(shared: Service) -> None:
    program = """
import asyncio, os, signal, sys, threading, time, traceback
from asgard_async.client import AsgardClient

def press_ctrl_c():
    while True:  # until the main thread waits for the service
        frames = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])
        if "_wait" in {frame.name for frame in frames}:
            return os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

def interrupted(call):
    try:
        threading.Thread(target=press_ctrl_c).start()
        call()
    except KeyboardInterrupt:
        # what is left is what keeps the loop itself
        return len(asyncio.all_tasks(client._thread._loop)) == 1

with AsgardClient(sys.argv[1]) as client:
    job = client.submit(source=sys.argv[2], experiment_name="e", model_name="m")
    lines = client.log_lines(job, follow=True)
    print(next(lines))
    print(interrupted(lambda: next(lines)), interrupted(lambda: client.wait(job)))
    print(client.cancel(job).job_id == job.job_id, client.wait(job).status)
"""
    done = await asyncio.to_thread(run, program, shared.url, ENDLESS)
    assert done.stdout.splitlines() == ["ready", "True True", "True cancelled"]
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_client_used_after_a_fork_is_an_error(shared: Service) -> None:
    program = """
import os, sys
from asgard_async.client import AsgardClient
client = AsgardClient(sys.argv[1])
client.status()
child = os.fork()
if child == 0:
    try:
        client.status()
    except RuntimeError as error:
        print(error, flush=True)
    with AsgardClient(sys.argv[1]) as own:
        print(own.status().asgard_api, flush=True)
    sys.exit()
os.waitpid(child, 0)
print(client.status().asgard_api)
"""
    done = await asyncio.to_thread(run, program, shared.url)
    first, *rest = done.stdout.splitlines()
    assert "before the process forked" in first
    assert rest == ["accessible", "accessible"]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stopped_service_is_reported() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with AsgardClient(url, retry_for=0) as client, pytest.raises(ConnectionFailed):
        list(client.list())
    assert repr(client) == f"<AsgardClient {url}>"


def test_a_closed_client_leaves_no_descriptor() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def use_one() -> None:
        with AsgardClient(f"http://127.0.0.1:{free_port()}", retry_for=0) as client:
            with pytest.raises(ConnectionFailed):
                client.status()

    use_one()
    before = open_files()
    for _ in range(5):
        use_one()
    assert open_files() <= before
