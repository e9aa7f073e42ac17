"""Log readers that disconnect abruptly."""

import pytest

from tests.support.eventually import eventually
from tests.support.raw_websocket import PING, RawSocket, frame
from tests.support.service import Service

pytestmark = pytest.mark.service

PINGS = frame(PING, b"there?") * 300


async def test_a_reader_gone_before_its_pongs_does_no_harm(service: Service) -> None:
    """It is removed at once, although the job prints nothing, so that no send can fail."""
    job_id = await service.submit("import time\ntime.sleep(600)")
    await service.phase(job_id, "running")
    for _ in range(20):
        reader = await RawSocket.connect(
            service.port, f"/mlops/training/jobs/{job_id}/logs/ws", "0"
        )
        assert await reader.document()
        reader.send(PINGS)
        reader.abort()

    async def nobody_reads() -> bool:
        _, metrics = await service.get("/metrics")
        return "asgard_log_readers 0.0" in metrics.splitlines()

    await eventually(nobody_reads, within=15, what="every reader is forgotten")
    service.assert_unharmed()
