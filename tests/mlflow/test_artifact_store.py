"""Problems of the artifact store are reported before a training runs into them."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from asgard_async.config import ConfigError, load_config
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.artifact_store import ArtifactStoreWatch, check_destination
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.monitor import Monitor
from tests.support.mlflow_servers import MlflowServer, serving
from tests.support.mlflow_user import eventually
from tests.support.protected_mlflow import BUCKET, ProtectedMlflow
from tests.support.service import NOWHERE


@asynccontextmanager
async def watching(address: MlflowAddress) -> AsyncIterator[ArtifactStoreWatch]:
    async with MlflowGateway(address, timeout_seconds=30) as gateway:
        monitor = Monitor(gateway, refresh_seconds=0.05)
        watch = ArtifactStoreWatch(gateway, monitor, check_seconds=0.05, check_again_seconds=0.05)
        tasks = [asyncio.create_task(monitor.run()), asyncio.create_task(watch.run())]
        try:
            yield watch
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=30)
            assert all(task.cancelled() for task in tasks)


@pytest.mark.mlflow
async def test_a_vanished_and_restored_bucket_is_noticed(
    protected_mlflow: ProtectedMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    protected_mlflow.s3.remove_bucket(BUCKET)
    try:
        async with watching(protected_mlflow.address()) as watch:
            await eventually(lambda: "bucket does not exist" in watch.problem)
            protected_mlflow.s3.make_bucket(BUCKET)
            await eventually(lambda: not watch.problem)
            await eventually(lambda: "artifacts can be stored again" in caplog.text)
    finally:
        protected_mlflow.s3.make_bucket(BUCKET)  # also if it exists already
    assert caplog.text.count("bucket does not exist") == 1


@pytest.mark.mlflow
async def test_a_directory_store_is_healthy(mlflow_server: MlflowServer) -> None:
    async with MlflowGateway(MlflowAddress.parse(mlflow_server.uri), timeout_seconds=30) as gateway:
        await gateway.check_artifact_store()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            503,
            (
                "Endpoint: /api/2.0/mlflow-artifacts/artifacts disabled due to the mlflow server"
                " running with `--no-serve-artifacts`. To enable artifacts server functionality,"
                " run `mlflow server` with `--serve-artifacts`"
            ),
        ),
        (404, '{"error_code": "ENDPOINT_NOT_FOUND", "message": "No API found"}'),
        (404, "<html>Not Found</html>"),
    ],
    ids=["switched off", "another kind of server", "a page"],
)
async def test_a_server_not_proxying_artifacts_is_only_noted(
    status: int, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "mlflow-artifacts" in request.path:
            return web.Response(status=status, text=body)
        return web.json_response({})

    async with serving(answer) as uri, watching(MlflowAddress.parse(uri)) as watch:
        await eventually(lambda: "their own credentials for it" in caplog.text)
        assert watch.problem == ""


def destination(uri: str, tracking_uri: str = "") -> None:
    config = load_config(environ={})
    mlflow = dataclasses.replace(
        config.mlflow, artifacts_destination=uri, tracking_uri=tracking_uri
    )
    check_destination(dataclasses.replace(config, mlflow=mlflow))


@pytest.mark.parametrize("uri", ["", "/srv/artifacts", "file:///srv", "s3://bucket/below"])
def test_a_store_with_its_driver_is_accepted(uri: str) -> None:
    destination(uri)


def test_a_bucket_must_be_named() -> None:
    with pytest.raises(ConfigError, match="the bucket is missing; expected s3://bucket/path"):
        destination("s3:///below")


def test_a_missing_driver_is_named_with_its_package() -> None:
    with pytest.raises(ConfigError, match=r"gs:// requires google\.cloud\.storage.*pip install"):
        destination("gs://bucket")


def test_the_destination_is_ignored_with_external_mlflow() -> None:
    destination("gs://bucket", tracking_uri=NOWHERE)
