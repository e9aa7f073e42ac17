"""Failed requests in the audit log: bounded, while every change stays."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asgard_async.auth.audit import AuditLog
from asgard_async.auth.repeated_failures import MAX_CLIENTS, MAX_KINDS, RepeatedFailures

ANN = "ann"


class Written:
    """Requests, and their entries in the audit log."""

    def __init__(self, file: Path) -> None:
        self.file, self.log = file, AuditLog(file)
        self.failures = RepeatedFailures(self.log)

    def write(self, status: int, *, token: str = ANN, of: str = "0a1b2c3d") -> None:
        self.failures.write(
            token=token, remote="10.0.0.1", action="cancel", of=of, made=None, status=status
        )

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    written = Written(tmp_path / "audit.log")
    yield written
    written.log.close()


@pytest.mark.parametrize("status", [404, 409, 429, 503])
def test_identical_failures_are_counted(written: Written, status: int) -> None:
    for _ in range(1000):
        written.write(status)
    written.failures.flush()
    written.failures.flush()
    first, further = written.entries()
    assert "count" not in first
    assert (first["status"], further["status"], further["count"]) == (status, status, 999)


@pytest.mark.parametrize("status", [200, 202, 303, 499, 500])
def test_requests_that_may_have_changed_things_stay(written: Written, status: int) -> None:
    for _ in range(500):
        written.write(status)
    assert len(written.entries()) == 500


def test_different_failures_are_all_written(written: Written) -> None:
    for number in range(MAX_KINDS):
        written.write(404, of=f"{number:08x}")
    assert len({entry["of"] for entry in written.entries()}) == MAX_KINDS


def test_a_client_with_many_failures_hides_no_others(written: Written) -> None:
    for number in range(5000):
        written.write(404, of=f"{number:08x}")
    written.write(404, token="bob")
    written.failures.flush()
    *entries, others = written.entries()
    assert [entry["token"] for entry in entries] == ["ann"] * MAX_KINDS + ["bob"]
    assert (others["count"], others["failures"]) == (5000 - MAX_KINDS, "others")


def test_many_clients_share_an_entry(written: Written) -> None:
    for number in range(3 * MAX_CLIENTS):
        written.write(404, token=str(number))
    written.failures.flush()
    assert len(written.entries()) <= MAX_CLIENTS + 3
    assert sum(entry.get("count", 1) for entry in written.entries()) == 3 * MAX_CLIENTS
