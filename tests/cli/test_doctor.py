"""`asgard doctor` finds problems and suggests fixes."""

import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from asgard_async.cli.checks.machine import uv
from asgard_async.config import load_config
from asgard_async.config.data_directory import DataDirectory
from tests.support.asgard_command import asgard
from tests.support.protected_mlflow import BUCKET, ProtectedMlflow
from tests.support.service import WITHOUT_MLFLOW, Service

Findings = dict[str, dict[str, Any]]


def examine(data_dir: Path, **environ: str) -> tuple[int, Findings]:
    done = asgard("doctor", "--json", "--data-dir", data_dir, **environ)
    return done.returncode, {one["about"]: one for one in json.loads(done.stdout)}


def test_doctor_before_the_first_start(tmp_path: Path) -> None:
    code, found = examine(tmp_path / "data")
    assert (code, found["data directory"]["level"]) == (1, "fail")
    assert "--create" in found["data directory"]["remedy"]
    assert not (tmp_path / "data").exists()
    done = asgard("doctor", "--json", "--create", "--data-dir", tmp_path / "data")
    code, found = done.returncode, {one["about"]: one for one in json.loads(done.stdout)}
    assert code == 0
    assert found["service"]["remedy"] == "asgard serve"
    assert found["access"]["remedy"] == "asgard token create"
    levels = {one: found[one]["level"] for one in found if one not in {"service", "access"}}
    for depends_on_machine_and_user in ("open files", "limits"):
        assert levels.pop(depends_on_machine_and_user) in {"ok", "warn"}
    assert set(levels.values()) == {"ok"}


def test_a_renamed_section_is_a_warning(tmp_path: Path) -> None:
    code, found = examine(tmp_path, ASGARD_EDGES__IDLE_SECONDS="9")
    assert (code, found["configuration"]["level"]) == (0, "warn")
    assert "[edges] is now [http]" in found["configuration"]["found"]


@pytest.mark.service
async def test_doctor_beside_a_running_service(service: Service) -> None:
    await service.finished(await service.submit("print()"))
    environ = WITHOUT_MLFLOW | {"ASGARD_SERVER__PORT": str(service.port)}
    code, found = examine(service.data_dir, **environ)
    assert found["service"]["found"] == f"accepts jobs at {service.url}"
    assert found["database"]["level"] == "ok"
    # no MLflow is running there
    assert (code, found["MLflow"]["level"]) == (1, "fail")
    assert "asgard config check" in found["MLflow"]["remedy"]
    _, found = examine(service.data_dir, ASGARD_SERVER__PORT="1")
    assert "does not answer" in found["service"]["found"]


def test_doctor_finds_an_unreadable_token_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text("[")
    _, found = examine(tmp_path)
    assert found["access"]["level"] == "fail"
    assert "every request is refused" in found["access"]["found"]
    assert "asgard db backup" in found["access"]["remedy"]
    file.unlink()
    file.mkdir()
    _, found = examine(tmp_path)
    assert found["access"]["level"] == "fail"
    assert found["access"]["remedy"].startswith("as root: chown ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_doctor_finds_tokens_owned_by_another_user(tmp_path: Path) -> None:
    asgard("token", "create", "--data-dir", tmp_path)
    os.chown(tmp_path / "tokens.json", 65534, 65534)
    code, found = examine(tmp_path)
    assert (code, found["access"]["level"]) == (1, "fail")
    assert f"chown {os.geteuid()} " in found["access"]["remedy"]


@pytest.mark.service
async def test_doctor_finds_several_problems_at_once(service: Service) -> None:
    data = service.data_dir
    await service.submit("print()")
    await service.end()
    asgard("token", "create", "--data-dir", data)
    with sqlite3.connect(data / "asgard.db") as database:
        future = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        database.execute("UPDATE jobs SET created_at = ?", (future,))
        database.execute("PRAGMA user_version = 9999")
    data.chmod(0o755)
    (data / "tokens.json").write_text("[")
    code, found = examine(data, ASGARD_SERVER__MIN_FREE_MB="1000000000")
    assert code == 1
    failed = {about for about, one in found.items() if one["level"] == "fail"}
    assert failed == {"access", "data directory", "disk", "database", "clock"}
    assert all(found[about]["remedy"] for about in failed)
    assert found["data directory"]["remedy"] == f"chmod 700 {data}"


def test_doctor_prints_readable_text(tmp_path: Path) -> None:
    done = asgard("doctor", "--data-dir", tmp_path / "data")
    assert "warn  access: open to anyone who can connect to 127.0.0.1" in done.stdout
    assert "      → asgard token create" in done.stdout
    assert "\x1b" not in done.stdout


def test_doctor_finds_a_missing_artifact_driver(tmp_path: Path) -> None:
    code, found = examine(
        tmp_path / "data", ASGARD_MLFLOW__ARTIFACTS_DESTINATION="gs://bucket/models"
    )
    assert (code, found["MLflow"]["level"]) == (1, "fail")
    assert "pip install 'google-cloud-storage'" in found["MLflow"]["found"]


@pytest.mark.mlflow
def test_doctor_reaches_an_mlflow_with_a_password(
    tmp_path: Path, protected_mlflow: ProtectedMlflow
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    code, found = examine(tmp_path / "data", **protected_mlflow.settings())
    assert (code, found["MLflow"]["level"]) == (0, "ok"), found
    mistyped = protected_mlflow.settings(ASGARD_MLFLOW__PASSWORD="mistyped")
    code, found = examine(tmp_path / "data", **mistyped)
    assert (code, found["MLflow"]["level"]) == (1, "fail")
    assert "does not accept Asgard's credentials" in found["MLflow"]["found"]
    assert "mistyped" not in str(found)
    protected_mlflow.s3.remove_bucket(BUCKET)
    try:
        code, found = examine(tmp_path / "data", **protected_mlflow.settings())
    finally:
        protected_mlflow.s3.make_bucket(BUCKET)
    assert (code, found["MLflow"]["level"]) == (0, "warn")
    assert "bucket does not exist" in found["MLflow"]["found"]


async def test_uv_does_not_get_the_variables_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the owner of a directory, root's variables would be readable in its /proc."""
    prints = tmp_path / "uv"
    prints.write_text("#!/bin/sh\nenv\n")
    prints.chmod(0o755)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(prints))
    monkeypatch.setenv("OF_ROOT", "secret")
    config = load_config(environ={}, overrides={"server": {"data_dir": str(tmp_path)}})
    finding = await uv(config, DataDirectory(root=tmp_path))
    assert "PATH=" in finding.found
    assert "OF_ROOT" not in finding.found


def test_commands_that_are_suggested_quote_paths(tmp_path: Path) -> None:
    """The owner of a directory above chooses a part of the path; root copies the command."""
    data_dir = tmp_path / "data; echo pwned"
    data_dir.mkdir(mode=0o755)
    _, found = examine(data_dir)
    assert found["data directory"]["remedy"] == f"chmod 700 '{data_dir}'"
