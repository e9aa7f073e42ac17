"""The embedded MLflow of a service: its address and its processes."""

from pathlib import Path

from tests.support.eventually import eventually
from tests.support.processes import processes_with
from tests.support.service import Service

SOON = {"ASGARD_TRACKING__REFRESH_SECONDS": "1"}
"""The service polls its MLflow often, so that requests coincide with the polls."""


async def mlflow_uri(service: Service) -> str:
    """Wait until the service's MLflow answers; return its address."""

    async def up() -> str | None:
        _, status = await service.get("/mlops/status")
        return status["mlflow_tracking_uri"] if status["mlflow_available"] else None

    return await eventually(up, within=120, what="MLflow answers")


def mlflow_pids(service: Service) -> list[int]:
    """The processes that run MLflow itself, without keeper and shim."""
    return [
        pid
        for pid in processes_with(str(service.data_dir / "mlflow"))
        if b"server_program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def warm_is_ready(service: Service) -> None:
    """Wait until the fork server of the base environment has finished importing."""
    await service.warm()
