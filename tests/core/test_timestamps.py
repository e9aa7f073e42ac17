"""Times and their text form."""

from datetime import UTC, datetime, timedelta, timezone

from asgard_async.core.timestamps import now, rfc3339, rfc3339_of_ms


def test_now_is_aware_and_utc() -> None:
    assert now().tzinfo is UTC


def test_text_is_utc_and_of_fixed_width() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(noon) == "2026-01-31T10:00:00.000000Z"
    assert rfc3339(noon, "seconds") == "2026-01-31T10:00:00Z"
    assert datetime.fromisoformat(rfc3339(noon)) == noon


def test_text_of_milliseconds() -> None:
    assert rfc3339_of_ms(1) == "1970-01-01T00:00:00.001Z"
