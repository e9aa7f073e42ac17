"""schemathesis makes requests of the document and compares what a real service answers with it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.service import NOWHERE, running_service
from tests.tracking.servers import MlflowServer

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
"""All that apply but positive_data_acceptance: some rules cannot be said in the document."""

EXAMPLES = "10"
"""For each operation and phase, always the same ones: what fails in CI fails everywhere."""

WITHIN_SECONDS = 120


@pytest.mark.service
@pytest.mark.mlflow
async def test_the_service_answers_as_documented(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    settings = {
        "ASGARD_MLFLOW__TRACKING_URI": mlflow_server.uri,
        # whatever is made up for requirements is looked for nowhere
        "ASGARD_ENVIRONMENTS__INDEX_URL": NOWHERE,
    }
    async with running_service(tmp_path / "data", settings) as service:
        code, output = await schemathesis(f"{service.url}/openapi.json", tmp_path)
        assert code == 0, output
        # it got through to what answers 202, and nothing went wrong behind the answers either
        _, listed = await service.get("/mlops/training/jobs")
        assert listed["jobs"]
        assert "Traceback" not in service.log.read_text()


async def schemathesis(document: str, directory: Path) -> tuple[int, str]:
    """Run it in a process of its own, with its files in `directory`; exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "--no-color", "run", document),
        *("--checks", ",".join(CHECKS)),
        *("--max-examples", EXAMPLES, "--seed", "1", "--generation-deterministic"),
        *("--continue-on-failure", "--request-timeout", "20"),
        cwd=directory,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), WITHIN_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output.decode()
