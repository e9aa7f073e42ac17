"""No request body causes a 500 or takes much memory."""

import gzip
import io
import json
import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.api.routes import ROUTES
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.system.attacks.test_crowds import peak_memory

pytestmark = pytest.mark.service

FORM = "multipart/form-data; boundary=b"
BOMB = zlib.compress(b" " * (64 << 20), 1)
GZIP_BOMB = gzip.compress(b" " * (64 << 20), 1)
ENCODED = b"Content-Encoding: deflate\r\n\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="script"; filename="a.py"\r\n'
ATTACKS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "deep lists": ("application/json", b"[" * 4_000_000, {}),
    "deep objects": ("application/json", b'{"a":' * 800_000, {}),
    "many fields": ("application/json", b'{"a":1,' + b'"b":1,' * 600_000 + b'"c":1}', {}),
    "a long number": ("application/json", b'{"timeout": ' + b"9" * 4_000_000 + b"}", {}),
    "a long list": ("application/json", b'{"requirements": [' + b'"",' * 900_000 + b'""]}', {}),
    "too large": ("application/json", b" " * 5_000_000, {}),
    "NUL": ("application/json", b"\0" * 4_000_000, {}),
    "no UTF-8": ("application/json", b'{"script_name": "\xff\xfe"}', {}),
    "a bomb of gzip": ("application/json", GZIP_BOMB, {"Content-Encoding": "gzip"}),
    "a bomb of deflate": ("application/json", BOMB, {"Content-Encoding": "deflate"}),
    "a bomb in a form": (FORM, BOMB, {"Content-Encoding": "deflate"}),
    "a bomb in a part": (
        FORM,
        PART + b"Content-Encoding: deflate\r\n\r\n" + BOMB + b"\r\n--b--",
        {},
    ),
    "many parts": (FORM, (PART + b"\r\n\r\n") * 50_000 + b"--b--", {}),
    "many headers of a part": (FORM, PART + b"X-A: b\r\n" * 200_000 + b"\r\n\r\n--b--", {}),
    "a long header of a part": (FORM, PART + b"X-A: " + b"b" * 4_000_000 + b"\r\n\r\n--b--", {}),
    "a form without an end": (FORM, PART + b"\r\n" + b"#" * 3_000_000, {}),
    "a form that is none": (FORM, b"\r\n" * 1_000_000, {}),
    "a long boundary": ("multipart/form-data; boundary=" + "b" * 5000, b"x", {}),
    "no boundary": ("multipart/form-data", b"x" * 100_000, {}),
    "a charset that does not exist": ("application/json; charset=wonder", b"{}", {}),
    "UTF-7": ("application/json; charset=utf-7", b"{}", {}),
}
MUCH_BYTES = 100 << 20


@pytest.fixture(scope="module")
def paths() -> list[str]:
    return [
        re.sub(r"\{\w+\}", "0123abcd", route.path) for route in ROUTES if route.method == "POST"
    ]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW) as service:
        yield service


async def test_hostile_bodies_do_no_harm(service: Service, paths: list[str]) -> None:
    await service.upload("syntax error")  # modules loaded by the first request are no growth
    before = peak_memory(service.pid)
    for name, (content_type, body, headers) in ATTACKS.items():
        for path in paths:
            status, answer = await service.post(
                path, data=io.BytesIO(body), headers={"Content-Type": content_type, **headers}
            )
            assert 400 <= status < 500, (name, path, answer)
            assert isinstance(answer, dict), (name, path, answer)
    assert peak_memory(service.pid) - before < MUCH_BYTES
    _, jobs = await service.get("/mlops/training/jobs")
    assert jobs["jobs"] == []


async def test_an_oversized_message_ends_a_log_stream(service: Service) -> None:
    job_id = await service.submit("import time; time.sleep(600)")
    await service.phase(job_id, "running")
    url = f"{service.url}/mlops/training/jobs/{job_id}/logs/ws"
    async with service.session.ws_connect(url) as ws:
        await ws.send_str(json.dumps("x" * 1_000_000))
        async for _ in ws:
            pass
        assert ws.close_code == 1009
    assert (await service.job(job_id))["status"] == "running"
