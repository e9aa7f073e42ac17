"""/mlops/status answers from memory, whether MLflow answers or not."""

import asyncio
from pathlib import Path

import pytest

from asgard_async import __version__
from asgard_async.api.schemas.status import StatusSchema
from asgard_async.mlflow.component import MONITOR
from tests.store.conftest import accept
from tests.support.api_service import get_json, running, service_config, store_of
from tests.support.app_server import Client
from tests.support.eventually import eventually
from tests.support.service import NOWHERE


async def test_the_status_works_without_mlflow(api: Client) -> None:
    await eventually(lambda: api.app[MONITOR].snapshot.checked_at, what="MLflow was checked")
    await accept(store_of(api))
    document = await get_json(api, "/mlops/status")
    assert not StatusSchema().validate(document)
    assert document["asgard_api"] == "accessible"
    assert (document["mlflow_api"], document["mlflow_available"]) == ("unreachable", False)
    assert document["registered_models"] is document["active_experiments"] is None
    assert document["jobs"] == {
        "queued": 1,
        "running": 0,
        "completed": 0,
        "failed": 0,
        "cancelled": 0,
    }
    assert document["version"] == __version__
    assert document["age_seconds"] >= 0
    assert document["checked_at"] < document["timestamp"]


@pytest.mark.service
async def test_an_unresponsive_mlflow_does_not_block_the_status(tmp_path: Path) -> None:
    """It accepts connections and never answers, like a process stopped with SIGSTOP."""
    asked = asyncio.Event()
    silent = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with running(service_config(tmp_path, mlflow={"tracking_uri": uri})) as client:
            await asyncio.wait_for(asked.wait(), 10)
            for _ in range(20):
                document = await get_json(client, "/mlops/status")
                assert document["mlflow_available"] is False
                assert document["checked_at"] is None
                assert document["age_seconds"] is None
        silent.set()


@pytest.mark.service
async def test_credentials_are_not_shown(tmp_path: Path) -> None:
    uri = NOWHERE.replace("http://", "http://user:secret@")
    async with running(service_config(tmp_path, mlflow={"tracking_uri": uri})) as client:
        response = await client.get("/mlops/status")
        text = await response.text()
        assert NOWHERE in text
        assert "secret" not in text
