"""Denied requests in the audit log: one entry and a count, whatever a client sends."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgard_async.auth.audit import AuditLog
from asgard_async.auth.denials import MAX_ENTRIES, MAX_PATH, Denials


class Written:
    """Denials with their own clock, and the entries that they wrote."""

    def __init__(self, file: Path) -> None:
        self.file, self.time = file, 0.0
        self.log = AuditLog(file)
        self.denials = Denials(self.log, clock=lambda: self.time)

    def note(self, remote: str, *, token: str | None = None, path: str = "/") -> None:
        self.denials.note(
            reason="not-authenticated", token=token, remote=remote, method="GET", path=path
        )

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    written = Written(tmp_path / "audit.log")
    yield written
    written.log.close()


def test_the_first_denial_is_written_at_once(written: Written) -> None:
    written.note("10.0.0.1", path="/x" * 1000)
    (entry,) = written.entries()
    assert (entry["action"], entry["count"]) == ("denied", 1)
    assert (entry["reason"], entry["remote"]) == ("not-authenticated", "10.0.0.1")
    assert len(entry["path"]) == MAX_PATH


def test_further_denials_are_counted(written: Written) -> None:
    for _ in range(1000):
        written.note("10.0.0.1")
    written.denials.flush()
    written.denials.flush()
    assert [entry["count"] for entry in written.entries()] == [1, 999]


def test_many_addresses_share_an_entry(written: Written) -> None:
    for window in range(10):
        for number in range(1000):
            written.note(f"10.{window}.0.{number}")
        written.denials.flush()
        written.time += 60
    entries = written.entries()
    assert sum(entry["count"] for entry in entries) == 10_000
    assert len(entries) <= MAX_ENTRIES + 2 * 10
    assert entries[-1]["clients"] == "others"
