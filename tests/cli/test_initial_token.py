"""A service on all addresses gets its first token by itself, once."""

import os
import re
from pathlib import Path

import pytest

from asgard_async.auth.token import NewToken, Scope
from asgard_async.core.timestamps import now
from tests.support.preloaded_command import asgard
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = pytest.mark.service

EVERYWHERE = WITHOUT_MLFLOW | {"ASGARD_SERVER__HOST": "0.0.0.0"}  # noqa: S104
SECRET = NewToken.draw(name=None, scope=Scope.ADMIN, at=now()).secret


def printed_tokens(service: Service) -> list[str]:
    return re.findall(r"export ASGARD_TOKEN=(\S+)", service.log.read_text())


async def status_with(service: Service, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return (await service.get("/mlops/status", headers=headers))[0]


async def test_an_initial_token_is_printed_once(tmp_path: Path) -> None:
    async with running_service(
        tmp_path / "data", EVERYWHERE, arguments=["--initial-token"]
    ) as service:
        (secret,) = printed_tokens(service)
        assert await status_with(service, secret) == 200
        assert await status_with(service, "") == 401
        listed = asgard("token", "list", "--data-dir", service.data_dir).stdout
        assert "initial" in listed
        assert "admin" in listed
        await service.end()
        await service.start("--initial-token")
        assert printed_tokens(service) == [secret]
        asgard("token", "revoke", "initial", "--data-dir", service.data_dir)
        await service.end()
        await service.start("--initial-token")  # a revoked one is not replaced
        assert printed_tokens(service) == [secret]


async def test_an_initial_token_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mounted").write_text(SECRET + "\n")
    (tmp_path / "mounted").chmod(0o644)
    file = tmp_path / "token"
    file.symlink_to("mounted")  # as in Kubernetes
    settings = EVERYWHERE | {"ASGARD_INITIAL_TOKEN_FILE": str(file)}
    async with running_service(
        tmp_path / "data", settings, arguments=["--initial-token"]
    ) as service:
        assert await status_with(service, SECRET) == 200
        assert await status_with(service, "") == 401
        await service.end()
        assert SECRET not in service.log.read_text()
        file.unlink()
        await service.start()
        assert await status_with(service, SECRET) == 200


async def test_on_loopback_no_token_is_made(tmp_path: Path) -> None:
    async with running_service(
        tmp_path / "data", WITHOUT_MLFLOW, arguments=["--initial-token"]
    ) as service:
        assert printed_tokens(service) == []
        assert await status_with(service, "") == 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("secret", "does not contain a token"),
        (None, "cannot read the initial token: No such file"),
        ("fifo", "cannot read the initial token: Not a regular file"),
    ],
)
def test_a_bad_token_file_stops_the_start(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "token"
    if content == "fifo":
        os.mkfifo(file)
    elif content is not None:
        file.write_text(content)
    done = asgard("serve", "--data-dir", tmp_path / "data", "--initial-token-file", file)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (tmp_path / "data").exists()
