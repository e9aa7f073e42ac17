"""A script behaves the same whether started manually, cold or warm.

Each script in scripts/ checks one thing that could differ.
"""

from pathlib import Path

import pytest

from asgard_async.executors.local.warm.server import ForkServer
from tests.support.fidelity_cases import CASES
from tests.support.fidelity_starts import Case, by_hand, by_shim


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_manual_cold_and_warm_runs_are_identical(
    case: Case, tmp_path: Path, warm_server: ForkServer
) -> None:
    expected = by_hand(case, tmp_path / "hand")
    assert await by_shim(case, tmp_path / "cold", None) == expected
    assert await by_shim(case, tmp_path / "warm", warm_server) == expected
