"""Names that may become parts of paths."""

from collections.abc import Callable

import pytest

from asgard_async.domain import names

HOSTILE = ("", ".", "..", "../x", "a/b", "/", "0000000g", "00000000\n", "\u0660" * 8, "\0" * 8)


@pytest.mark.parametrize(
    ("check", "valid"),
    [
        (names.job_id_of, "0a1b2c3d"),
        (names.archive_of, "0" * 32 + ".tar.gz"),
        (names.archive_of, "f" * 32 + ".zip"),
        (names.environment_key_of, "0" * 20),
        (names.environment_key_of, "once" + "0" * 16),
        (names.cache_environment_of, "base"),
        (names.owner_digest_of, "0" * 16),
    ],
)
def test_only_names_of_their_kind_are_accepted(check: Callable[[str], str], valid: str) -> None:
    assert check(valid) == valid
    for name in (*HOSTILE, f"{valid}\n", f"{valid}/..", f"../{valid}", valid.upper() + "X"):
        assert not names.is_valid(check, name)


@pytest.mark.parametrize("name", [*HOSTILE, "0", "01", "-1", "1_0", "9" * 5000, "\u0661"])
def test_attempt_numbers_are_small_positive_numbers(name: str) -> None:
    assert names.attempt_number_of("12") == 12
    assert not names.is_valid(names.attempt_number_of, name)
