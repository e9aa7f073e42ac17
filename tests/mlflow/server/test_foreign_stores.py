"""Artifacts in buckets that are not the server's store, though its credentials open them."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.support.mlflow_user import MlflowUser, fresh
from tests.support.s3_server import ACCESS_KEY, S3Server
from tests.support.service import QUICK_TO_WARM, Service, running_service

pytestmark = [pytest.mark.mlflow, pytest.mark.asyncio(loop_scope="module")]

OWN, FOREIGN = "the-store", "a-bucket-of-others"
LOCATIONS = (f"s3://{FOREIGN}/below", f"s3://{OWN}/below-and-beyond", f"s3://{OWN}")
SECRET = "what only others may read"
AJAX = "/ajax-api/2.0/mlflow"


class Thief:
    """A caller that lets MLflow read and write below locations of its choice."""

    def __init__(self, service: Service, uri: str, s3: S3Server) -> None:
        self._service = service
        self._uri = uri
        self._s3 = s3
        self.user = MlflowUser(uri, service.session)

    def plant(self, location: str) -> None:
        """Put a file of others where a location leads."""
        parts = urlsplit(location)
        key = f"{parts.path[1:]}/secret.txt"
        self._s3.client.put_object(Bucket=parts.netloc, Key=key, Body=SECRET.encode())

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        async with self._service.session.request(method, self._uri + path, **options) as response:
            return response.status, await response.text()

    async def attack(self, location: str) -> dict[str, tuple[int, str]]:
        """Return the response to each request that leads to a location."""
        body = {"name": fresh("led"), "artifact_location": location}
        experiment_id = (await self.user.call("POST", "experiments/create", body))["experiment_id"]
        body = {"experiment_id": experiment_id, "name": "model"}
        model = (await self.user.call("POST", "logged-models", body))["model"]["info"]
        run = (await self.user.call("POST", "runs/create", {"experiment_id": experiment_id}))["run"]
        run_id, root = run["info"]["run_id"], run["info"]["artifact_uri"]
        for place in (root, model["artifact_uri"]):
            assert place.startswith(location)
            self.plant(place)
        name = fresh("version")
        await self.user.call("POST", "registered-models/create", {"name": name})
        await self.user.call("POST", "model-versions/create", {"name": name, "source": root})
        of_model = f"{AJAX}/logged-models/{model['model_id']}/artifacts"
        requests = {
            "list": ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run_id}"),
            "read": ("GET", f"/get-artifact?run_uuid={run_id}&path=secret.txt"),
            "write": ("POST", f"{AJAX}/upload-artifact?run_uuid={run_id}&path=planted.txt"),
            "read version": (
                "GET",
                f"/model-versions/get-artifact?name={name}&version=1&path=secret.txt",
            ),
            "list model": ("GET", f"{of_model}/directories"),
            "read model": ("GET", f"{of_model}/files?artifact_file_path=secret.txt"),
        }
        return {
            kind: await self.ask(method, path, data=b"planted" if method == "POST" else None)
            for kind, (method, path) in requests.items()
        }

    async def sign(self, location: str) -> dict[str, tuple[int, str]]:
        """Return the response to each request for a signed URL, below an allowed location."""
        body = {"name": fresh("own"), "artifact_location": location}
        experiment_id = (await self.user.call("POST", "experiments/create", body))["experiment_id"]
        run_id = await self.user.run(experiment_id)
        proxied = "/api/2.0/mlflow-artifacts"
        requests: dict[str, tuple[str, str, dict[str, Any]]] = {
            kind: (
                "POST",
                f"/api/2.0/mlflow/artifacts/presigned-{kind}-url",
                {"json": {"run_id": run_id, "path": "own.txt"}},
            )
            for kind in ("upload", "download")
        }
        requests["parts"] = (
            "POST",
            f"{proxied}/mpu/create/below/own.txt",
            {"json": {"path": "below/own.txt", "num_parts": 2}},
        )
        requests["proxied"] = ("GET", f"{proxied}/presigned/below/own.txt", {})
        return {
            kind: await self.ask(method, path, **options)
            for kind, (method, path, options) in requests.items()
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thief(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server
) -> AsyncIterator[Thief]:
    for bucket in (OWN, FOREIGN):
        s3_server.make_bucket(bucket)
    settings = {
        **QUICK_TO_WARM,
        **s3_server.variables,
        "ASGARD_MLFLOW__ARTIFACTS_DESTINATION": f"s3://{OWN}/below",
    }
    data_dir = tmp_path_factory.mktemp("thief") / "data"
    async with running_service(data_dir, settings) as service:
        yield Thief(service, await service.mlflow_uri(), s3_server)


@pytest.mark.parametrize("location", LOCATIONS)
async def test_foreign_buckets_are_not_accessed(
    thief: Thief, s3_server: S3Server, location: str
) -> None:
    accepted = {
        kind: response
        for kind, response in (await thief.attack(location)).items()
        if response[0] != 400 or "only its own artifact store" not in response[1]
    }
    assert accepted == {}
    files = [*s3_server.files(OWN), *s3_server.files(FOREIGN)]
    assert [name for name in files if "planted" in name] == []


async def test_no_url_is_signed_for_the_own_store(thief: Thief, s3_server: S3Server) -> None:
    """It would be a way to the store past the limits on artifacts."""
    experiment_id = await thief.user.experiment()
    run_id = await thief.user.run(experiment_id)
    await thief.user.put_artifact(experiment_id, run_id, "own.txt")
    # so the credentials do open the store
    assert [name for name in s3_server.files(OWN, "below/") if name.endswith("own.txt")]
    for kind, (status, text) in (await thief.sign(f"s3://{OWN}/below/mine")).items():
        assert status in {400, 501}, (kind, text)
        assert ACCESS_KEY not in text
