"""`asgard token` with a running service; with a token, the service may listen publicly."""

import json
from pathlib import Path

import pytest

from tests.support.preloaded_command import asgard
from tests.support.service import WITHOUT_MLFLOW, Service, running_service


def token(data_dir: Path, *arguments: str) -> str:
    done = asgard("token", *arguments, "--data-dir", data_dir)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.service
async def test_tokens_take_effect_and_are_revoked_at_once(service: Service) -> None:
    assert (await service.get("/mlops/training/jobs"))[0] == 200
    secret = token(service.data_dir, "create", "--name", "ci")
    assert (await service.get("/mlops/training/jobs"))[0] == 401
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await service.get("/mlops/training/jobs", headers=headers))[0] == 200
    assert secret not in token(service.data_dir, "list", "--json")
    assert token(service.data_dir, "revoke", "ci").startswith("Revoked token 'ci'")
    assert (await service.get("/mlops/training/jobs", headers=headers))[0] == 401
    refused = asgard("jobs", ASGARD_URL=service.url, ASGARD_TOKEN=secret)
    assert refused.returncode == 1
    assert refused.stderr == "Error: The token in ASGARD_TOKEN is invalid or revoked.\n"
    refused = asgard("jobs", ASGARD_URL=service.url)
    assert refused.returncode == 1
    assert refused.stderr == "Error: Authentication required; set ASGARD_TOKEN.\n"
    assert secret not in service.log.read_text()


@pytest.mark.service
async def test_a_public_address_needs_a_token_first(tmp_path: Path) -> None:
    data = tmp_path / "da ta"
    refused = asgard("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", data)  # noqa: S104
    assert refused.returncode == 1
    assert f"asgard token create --data-dir '{data}' --create" in refused.stderr
    secret = token(data, "create", "--create", "--scope", "read", "--scope", "admin")
    assert json.loads(token(data, "list", "--json"))[0]["scope"] == "admin"
    settings = WITHOUT_MLFLOW | {"ASGARD_SERVER__HOST": "0.0.0.0"}  # noqa: S104
    async with running_service(data, settings) as service:
        assert (await service.get("/mlops/status"))[0] == 401
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await service.get("/mlops/status", headers=headers))[0] == 200


def test_token_errors_are_reported(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "no data directory" in asgard("token", "list", "--data-dir", data).stderr
    token(data, "create", "--create", "--name", "ci")
    again = asgard("token", "create", "--name", "ci", "--data-dir", data)
    assert again.returncode == 1
    assert "already" in again.stderr
    missing = asgard("token", "revoke", "x", "--data-dir", data)
    assert missing.returncode == 1
    assert "asgard token list" in missing.stderr


def test_only_the_secret_is_on_stdout(tmp_path: Path) -> None:
    done = asgard("token", "create", "--data-dir", tmp_path)
    assert done.stdout.startswith("asgard_")
    assert done.stdout.count("\n") == 1
    assert "shown only once" in done.stderr
