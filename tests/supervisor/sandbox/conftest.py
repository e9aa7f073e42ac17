"""Services run by root and by an ordinary user, to be attacked by their jobs."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.attack_scripts import PRELUDE
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.service_users import IS_ROOT, launcher_for_ordinary_user


@dataclass(frozen=True)
class Target:
    """A service with secrets."""

    service: Service
    canary: str
    """A secret in its environment and its configuration."""
    config: Path
    shared: Path
    """A directory that jobs may read, which contains the service's data and configuration."""
    warm: bool

    async def attacked(self, script: str, **variables: str) -> str:
        """Run a hostile job to its own end; return its output."""
        job_id = await self.submit(script, **variables)
        job = await self.service.finished(job_id)
        assert job["isolation"] == "sandbox"
        assert job["start"] == ("warm" if self.warm else "cold"), job["cold_reason"]
        assert job["reason"] == "succeeded", job["logs"]
        logs: str = job["logs"]
        assert "BROKEN" not in logs, logs
        return logs

    async def submit(self, script: str, **variables: str) -> str:
        """Start a hostile job; return its id."""
        sent = {
            "SERVICE_PID": str(self.service.pid),
            "DATA_DIR": str(self.service.data_dir),
            "CANARY_REVERSED": self.canary[::-1],
            **variables,
        }
        return await self.service.submit(PRELUDE + script, environment_vars=sent, warm=self.warm)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["root", "ordinary"])
async def attacked_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Service, str, Path]]:
    if request.param == "root" and not IS_ROOT:
        pytest.skip("a service that is root: the tests are not run by root")
    canary = f"canary-{secrets.token_hex(16)}"
    shared = tmp_path_factory.mktemp("shared")
    shared.chmod(0o755)
    data_dir = shared / "data"
    launcher = launcher_for_ordinary_user(data_dir) if request.param == "ordinary" else ()
    config = data_dir.parent / "asgard.toml"
    config.write_text(f'[environments]\nindex_url = "https://user:{canary}@127.0.0.1:1/simple"\n')
    config.chmod(0o644)
    (data_dir.parent / "data_set").write_text("1,2,3")
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_ISOLATION__LEVEL": "sandbox",
        "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "3",
        # it contains the data directory and the configuration, which stay hidden
        "ASGARD_ISOLATION__READ_WRITE": "[]",
        "ASGARD_ISOLATION__READ_ONLY": f'["{data_dir.parent}"]',
        "AWS_SECRET_ACCESS_KEY": canary,
    }
    async with running_service(
        data_dir, settings, launcher, arguments=["--config", str(config)]
    ) as service:
        await service.warm()
        yield service, canary, config


@pytest.fixture(params=["cold", "warm"])
def target(request: pytest.FixtureRequest, attacked_service: tuple[Service, str, Path]) -> Target:
    service, canary, config = attacked_service
    return Target(
        service=service,
        canary=canary,
        config=config,
        shared=config.parent,
        warm=request.param == "warm",
    )
