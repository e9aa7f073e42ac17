"""The compose file and the Kubernetes manifest agree with the image and the configuration."""

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from asgard_async.config import load_config

ROOT = Path(__file__).parents[2]
IMAGE = (ROOT / "Dockerfile").read_text()
INITIAL_TOKEN = "ASGARD_INITIAL_TOKEN_FILE"


def compose() -> Any:
    return yaml.safe_load((ROOT / "contrib" / "compose.yaml").read_text())


def stateful_set() -> Any:
    documents = yaml.safe_load_all((ROOT / "contrib" / "kubernetes.yaml").read_text())
    return next(one for one in documents if one["kind"] == "StatefulSet")


def image_environment() -> dict[str, str]:
    return dict(re.findall(r"(ASGARD_\w+)=(\S+)", IMAGE))


def check_environment(environment: dict[str, str]) -> None:
    config = load_config(environ=image_environment() | environment)
    assert (config.server.host, config.server.port) == ("0.0.0.0", 8000)  # noqa: S104
    assert "asgard" in config.server.allowed_hosts


def test_the_compose_file_fits_the_image() -> None:
    file = compose()
    service = file["services"]["asgard"]
    assert (ROOT / "contrib" / service["build"] / "Dockerfile").exists()
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert service["volumes"] == ["data:/data"]
    assert service["environment"][INITIAL_TOKEN] == f"/run/secrets/{service['secrets'][0]}"
    assert set(service["secrets"]) == file["secrets"].keys()
    check_environment(service["environment"])


def test_the_kubernetes_manifest_fits_the_image() -> None:
    spec = stateful_set()["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    user = pod["securityContext"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in IMAGE
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert Path(environment["ASGARD_DATA_DIR"]).parent == Path(mounts["data"])
    assert Path(environment[INITIAL_TOKEN]).parent == Path(mounts["token"])
    claimed = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    assert {volume["name"] for volume in pod["volumes"]} | claimed == mounts.keys()
    assert spec["replicas"] == 1
    check_environment(environment)


def test_the_image_makes_its_first_token() -> None:
    assert '"--initial-token"' in IMAGE
    assert image_environment()["ASGARD_SERVER__HOST"] == "0.0.0.0"  # noqa: S104
