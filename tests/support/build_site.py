"""Services that are attacked by the builds of their environments."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.attack_scripts import PRELUDE
from tests.support.package_index import package_index
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.service_users import IS_ROOT, launcher_for_ordinary_user
from tests.support.wheels import make_sdist

BUILD_SECONDS = 120
SCRIPT = """
output = []
def print(*parts):
    output.append(" ".join(map(str, parts)))
{prelude}
facts = {facts!r}
def make():
{attacks}
    return {{"{name}.py": "OUTPUT = " + repr("\\n".join(output)), **globals().get("further", {{}})}}
"""


@dataclass
class BuildSite:
    """A service, and the package index of its environments."""

    service: Service
    packages: Path
    canary: str

    async def job_with(self, name: str, script: str = "") -> dict[str, Any]:
        """Run a job that needs package `name` to its end."""
        script = script or f"import {name}\nprint({name}.OUTPUT)"
        job_id = await self.service.submit(script, requirements=[name])
        return await self.service.finished(job_id, within=BUILD_SECONDS)

    def hostile(self, attacks: str, **values: str) -> str:
        """Create a source distribution whose build script attacks; return its name."""
        name = f"hostile_{secrets.token_hex(4)}"
        facts = {
            "SERVICE_PID": str(self.service.pid),
            "DATA_DIR": str(self.service.data_dir),
            "CANARY": self.canary[::-1],
            **values,
        }
        script = SCRIPT.format(
            prelude=PRELUDE.replace("import idna", "#"),
            facts=facts,
            attacks="\n".join(f"    {line}" for line in attacks.splitlines()) or "    pass",
            name=name,
        )
        make_sdist(self.packages, name, script)
        return name

    async def attacked(self, attacks: str, **values: str) -> str:
        """Run a build script that attacks; return its output."""
        job = await self.job_with(self.hostile(attacks, **values))
        assert job["reason"] == "succeeded", job
        logs: str = job["logs"]
        assert "BROKEN" not in logs, logs
        return logs


@contextlib.asynccontextmanager
async def running_build_site(
    folder: Path, who: str, settings: Mapping[str, str], *, canary: str = ""
) -> AsyncIterator[BuildSite]:
    """A service of "root" or of an "ordinary" user that builds in sandboxes."""
    if who == "root" and not IS_ROOT:
        pytest.skip("a service that is root: the tests are not run by root")
    data_dir = folder / "service" / "data"
    launcher = launcher_for_ordinary_user(data_dir) if who == "ordinary" else ()
    with package_index(folder / "packages") as index:
        variables = {
            **WITHOUT_MLFLOW,
            "ASGARD_WARM__ENABLED": "false",
            "ASGARD_ISOLATION__LEVEL": "sandbox",
            "ASGARD_ENVIRONMENTS__INDEX_URL": index,
            **settings,
        }
        async with running_service(data_dir, variables, launcher) as service:
            yield BuildSite(service=service, packages=folder / "packages", canary=canary)
