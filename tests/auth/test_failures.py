"""Invalid tokens are counted by address within a window, in bounded memory."""

from asgard_async.auth.failures import MAX_ADDRESSES, Failures


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_too_many_failures_block_until_the_window_ends() -> None:
    clock = Clock()
    failures = Failures(allowed=3, window_seconds=60, clock=clock)
    for _ in range(3):
        assert failures.wait_seconds("a") == 0
        failures.note("a")
    assert failures.wait_seconds("a") == 60
    assert failures.wait_seconds("b") == 0
    clock.now += 59
    assert failures.wait_seconds("a") == 1
    clock.now += 1
    assert failures.wait_seconds("a") == 0
    failures.note("a")
    assert failures.wait_seconds("a") == 0


def test_the_number_of_remembered_addresses_is_bounded() -> None:
    failures = Failures(allowed=1, clock=Clock())
    for number in range(MAX_ADDRESSES + 1):
        failures.note(str(number))
    assert failures.wait_seconds("0") == 0
    assert failures.wait_seconds("1") > 0
