"""Attacks on the memory of the embedded MLflow, with bodies and headers."""

import asyncio
import contextlib
import gzip
import io
import json
import os
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from asgard_async.config import load_config
from asgard_async.mlflow.embedded import ADDRESS_SPACE_BYTES
from tests.support.attacked_mlflow import (
    CREATE,
    MAX_BODY,
    MIB,
    AttackedMlflow,
    chunks,
    stream,
)

pytestmark = [pytest.mark.mlflow, pytest.mark.asyncio(loop_scope="session")]

BODY_BYTES = 1500 * MIB
MARGIN_BYTES = 100 * MIB


async def test_a_huge_body_is_refused_without_being_buffered(embedded: AttackedMlflow) -> None:
    before = embedded.peak_bytes()
    for headers in ({"Content-Length": str(BODY_BYTES)}, {}):
        try:
            status, text = await embedded.ask(
                "POST", CREATE, data=stream(BODY_BYTES), headers=headers
            )
        except aiohttp.ClientError:
            continue  # the server closed the connection while the body was sent
        assert status == 413
        assert "max_body_bytes" in json.loads(text)["message"]
    assert embedded.peak_bytes() - before < MARGIN_BYTES


async def test_a_body_beyond_the_limit_gets_a_clear_answer(embedded: AttackedMlflow) -> None:
    for data in (io.BytesIO(bytes(MAX_BODY + 1)), stream(3 * MIB)):
        status, text = await embedded.ask("POST", CREATE, data=data)
        assert status == 413
        assert "[mlflow] max_body_bytes" in json.loads(text)["message"]


async def test_a_compressed_body_is_bounded_when_decompressed(embedded: AttackedMlflow) -> None:
    before = embedded.peak_bytes()
    bomb = gzip.compress(bytes(800 * MIB), 1)[: MAX_BODY - 1]
    headers = {
        "Content-Encoding": "gzip",
        "Content-Type": "application/x-protobuf",
        "X-MLflow-Experiment-Id": "0",
    }
    for path, expected, why in (
        ("/v1/traces", 413, "max_body_bytes"),
        (CREATE, 415, "uncompressed"),
        ("/graphql", 415, "uncompressed"),
    ):
        status, text = await embedded.ask("POST", path, data=io.BytesIO(bomb), headers=headers)
        assert (status, why in text) == (expected, True), text
    headers["Content-Encoding"] = "zstd"
    assert (await embedded.ask("POST", "/v1/traces", data=b"x", headers=headers))[0] == 415
    assert embedded.peak_bytes() - before < MARGIN_BYTES


async def test_compressed_traces_are_accepted(embedded: AttackedMlflow) -> None:
    headers = {
        "Content-Encoding": "gzip",
        "Content-Type": "application/x-protobuf",
        "X-MLflow-Experiment-Id": "0",
    }
    body = gzip.compress(ExportTraceServiceRequest().SerializeToString())
    status, text = await embedded.ask("POST", "/v1/traces", data=body, headers=headers)
    assert (status, "no spans found" in text) == (400, True), text


async def test_endless_headers_are_refused(embedded: AttackedMlflow) -> None:
    before = embedded.peak_bytes()
    host, port = embedded.uri.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
    try:
        for block in chunks(400 * MIB):
            writer.write(block)
            await writer.drain()
    except OSError:
        pass
    writer.close()
    assert embedded.peak_bytes() - before < MARGIN_BYTES


async def test_its_memory_is_limited(embedded: AttackedMlflow) -> None:
    """By its control group, or else by its address space."""
    pid, limits = embedded.pid, []
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        with contextlib.suppress(OSError):  # groups of other tests disappear meanwhile
            if str(pid) in Path(folder, "cgroup.procs").read_text().split():
                names = {"memory.max", "memory.limit_in_bytes"}.intersection(files)
                limits += [Path(folder, name).read_text().strip() for name in names]
    space = Path(f"/proc/{pid}/limits").read_text().partition("Max address space")[2].split()[0]
    if space.isdecimal():
        limits.append(str(int(space) - ADDRESS_SPACE_BYTES))
    most = load_config(environ={}).mlflow.memory_mb << 20
    assert any(text.isdecimal() and int(text) <= most for text in limits), limits
