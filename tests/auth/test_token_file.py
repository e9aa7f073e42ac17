"""Tokens are stored as digests in one private file; changes apply in every process at once."""

import json
import multiprocessing
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from asgard_async.auth.token import Scope
from asgard_async.auth.token_file import NameTaken, NoSuchToken, TokenFile
from asgard_async.config import ConfigError

AT = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def make(tokens: TokenFile, name: str | None = None, scope: Scope = Scope.READ) -> str:
    return tokens.create(name=name, scope=scope, at=AT).secret


def test_a_secret_matches_only_its_token(file: Path) -> None:
    tokens = TokenFile(file)
    first, second = make(tokens, "first"), make(tokens, "second", Scope.ADMIN)
    found = tokens.find(second)
    assert found is not None
    assert (found.name, found.scope, found.created_at) == ("second", Scope.ADMIN, AT)
    for wrong in (first[:-1], first + "x", first[:16] + second[16:], "", "asgard__", "\udcff"):
        assert tokens.find(wrong) is None


def test_the_secret_is_not_stored(file: Path) -> None:
    secret = make(TokenFile(file))
    assert secret.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_changes_by_another_process_apply_at_once(file: Path) -> None:
    service, command = TokenFile(file), TokenFile(file)
    assert not service.is_closed()
    secret = make(command, "ci")
    assert service.is_closed()
    assert service.find(secret) is not None
    command.revoke("ci")
    assert service.find(secret) is None


def test_revoking_the_last_token_opens_nothing(file: Path) -> None:
    tokens = TokenFile(file)
    make(tokens, "only")
    tokens.revoke("only")
    assert tokens.all() == []
    assert tokens.is_closed()


def test_token_names_are_unique(file: Path) -> None:
    tokens = TokenFile(file)
    make(tokens, "ci")
    make(tokens)
    unnamed = tokens.all()[1]
    assert unnamed.name == unnamed.id
    for taken in ("ci", unnamed.id):
        with pytest.raises(NameTaken):
            make(tokens, taken)
    with pytest.raises(NoSuchToken):
        tokens.revoke("nobody")


def create_some(file: Path, prefix: str) -> None:
    for number in range(20):
        make(TokenFile(file), f"{prefix}{number}")


def test_tokens_created_concurrently_are_all_kept(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    makers = [context.Process(target=create_some, args=(file, prefix)) for prefix in "ab"]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(60)
    assert len(TokenFile(file).all()) == 40


@pytest.mark.parametrize("text", ["", "{}", '[{"id": 1}]', "[1"])
def test_a_damaged_file_authenticates_nobody(file: Path, text: str) -> None:
    tokens = TokenFile(file)
    secret = make(tokens)
    file.write_text(text)
    for _ in range(2):
        with pytest.raises(ConfigError, match="cannot read the tokens"):
            tokens.find(secret)
        with pytest.raises(ConfigError):
            tokens.is_closed()


def test_fields_of_a_later_version_are_ignored(file: Path) -> None:
    tokens = TokenFile(file)
    secret = make(tokens)
    file.write_text(json.dumps([{**json.loads(file.read_text())[0], "expires_at": None}]))
    assert tokens.find(secret) is not None


def test_scopes_include_lower_scopes() -> None:
    assert [[scope.covers(needed) for needed in Scope] for scope in Scope] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
