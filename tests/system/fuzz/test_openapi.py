"""schemathesis generates requests from the document and checks the responses of a real service.

It follows the document's links as well: to a job just accepted, cancelled or deleted.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.fuzz_effort import FIRST_SEED, Search
from tests.support.mlflow_servers import MlflowServer
from tests.support.service import NOWHERE, QUICK_TO_WARM, running_service

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
)
"""All applicable checks but positive_data_acceptance: the document cannot express some rules."""

SHORT = ("--max-examples", "4", "--seed", "1", "--generation-deterministic")
"""Examples per operation and phase; always the same, so that CI failures are reproducible."""

WITHIN_SECONDS = 120


@pytest.mark.mlflow
async def test_the_service_responds_as_documented(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    settings = {
        **QUICK_TO_WARM,
        "ASGARD_MLFLOW__TRACKING_URI": mlflow_server.uri,
        # no registry is asked for generated requirements
        "ASGARD_ENVIRONMENTS__INDEX_URL": NOWHERE,
    }
    search = Search("openapi")
    effort = ("--seed", str(FIRST_SEED), "--max-time", str(int(search.seconds)))
    async with running_service(tmp_path / "data", settings) as service:
        document = f"{service.url}/openapi.json"
        options = effort if search.is_long else SHORT
        code, output = await schemathesis(document, tmp_path, options, search.seconds)
        if search.is_long:
            for number, what in re.findall(r"([\d,]+) (generated|passed|failed)\b", output):
                search.count(f"cases {what}", int(number.replace(",", "")))
            search.report()
        assert code == 0, output
        # chains followed the links, and not only names that match
        assert re.search(r"API Links:\s+\d+ covered", output), output
        # it reached operations that respond with 202
        _, listed = await service.get("/mlops/training/jobs")
        assert listed["jobs"]


async def schemathesis(
    document: str, directory: Path, options: tuple[str, ...], seconds: float
) -> tuple[int, str]:
    """Run schemathesis as a subprocess in `directory`; return exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "--no-color", "run", document),
        *("--checks", ",".join(CHECKS)),
        *options,
        *("--continue-on-failure", "--request-timeout", "20"),
        cwd=directory,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds + WITHIN_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode()
