"""The index of times beside a log, as the shim writes it and the service reads it."""

import os
from pathlib import Path

import pytest

from asgard_async.logformat.files import ENTRY_BYTES, read_times
from asgard_async.logformat.times import TOGETHER_MS, parts_by_time
from asgard_async.supervisor.shim.pump import Log
from asgard_async.supervisor.shim.times import CAPACITY, TimeIndex
from tests.support.written_logs import START, write_at


def times_file(log: Path) -> Path:
    return Path(f"{log}.times")


def test_each_part_has_its_write_time(log: Path) -> None:
    write_at(log, (b"one", 1000), (b"three", 3000), (b"nine", 9000))
    assert list(parts_by_time(log, 0, 12)) == [(3, 1000), (8, 3000), (12, 9000)]
    assert list(parts_by_time(log, 2, 4)) == [(3, 1000), (4, 3000)]
    assert list(parts_by_time(log, 3, 8)) == [(8, 3000)]
    assert list(parts_by_time(log, 9, 11)) == [(11, 9000)]


def test_output_written_together_is_one_part(log: Path) -> None:
    write_at(log, *((b"x", 1000 + n) for n in range(TOGETHER_MS)), (b"y", 2000))
    assert list(parts_by_time(log, 0, 11)) == [(10, 1000), (11, 2000)]


def test_the_newest_output_always_has_its_exact_time(log: Path) -> None:
    for n in range(50):
        write_at(log, (b"x", 1000 + n))
        assert read_times(str(log))[-1] == 1000 + n


def test_a_log_without_an_index_has_no_times(log: Path) -> None:
    log.write_bytes(b"old")
    assert list(parts_by_time(log, 0, 3)) == [(3, None)]


def test_the_index_stays_small_and_times_stay_close(log: Path) -> None:
    index, seconds = TimeIndex(str(log)), 60_000
    for second in range(seconds):
        index.note(second, START + second * 1000)
    index.close()
    assert times_file(log).stat().st_size <= CAPACITY * ENTRY_BYTES
    for second in range(0, seconds, 997):
        ((_, at),) = parts_by_time(log, second, second + 1)
        assert at is not None
        assert 0 <= START + second * 1000 - at <= 4 * seconds * 1000 / CAPACITY
    assert not list(log.parent.glob("*.new"))


def test_a_resumed_index_stays_small(log: Path) -> None:
    moment = 0
    for _ in range(40):
        index = TimeIndex(str(log))
        for _ in range(1000):
            moment += 1000
            index.note(moment, START + moment)
        index.close()
    assert times_file(log).stat().st_size <= CAPACITY * ENTRY_BYTES
    ((_, at),) = parts_by_time(log, moment // 2, moment // 2 + 1)
    assert at is not None
    assert START + moment // 2 - at <= 16 * moment / CAPACITY


@pytest.mark.parametrize("torn", range(1, ENTRY_BYTES))
def test_a_torn_last_entry_is_overwritten(log: Path, torn: int) -> None:
    write_at(log, (b"one", 1000), (b"two", 2000))
    entries = times_file(log).read_bytes()
    times_file(log).write_bytes(entries[:-torn])
    assert list(parts_by_time(log, 0, 6)) == [(6, 1000)]
    write_at(log, (b"three", 3000))
    assert list(parts_by_time(log, 0, 11)) == [(6, 1000), (11, 3000)]


def test_announced_output_never_written_has_no_time(log: Path) -> None:
    """An entry is written before its text, so a shim killed in between leaves it alone."""
    write_at(log, (b"one", 1000))
    index = TimeIndex(str(log))
    index.note(3, 2000)
    index.close()
    assert list(parts_by_time(log, 0, 3)) == [(3, 1000)]
    write_at(log, (b"two", 5000))
    assert list(parts_by_time(log, 0, 6)) == [(3, 1000), (6, 5000)]


def test_an_unwritable_index_loses_no_output(log: Path) -> None:
    writer = Log(str(log), 1 << 20)
    os.ftruncate(writer._times._file, 0)
    reading = os.open(f"{log}.times", os.O_RDONLY)
    os.dup2(reading, writer._times._file)
    os.close(reading)
    writer.write(b"kept")
    writer.close()
    assert log.read_bytes() == b"kept"


def test_a_clock_set_back_does_no_harm(log: Path) -> None:
    write_at(log, (b"one", 9000), (b"two", 1000), (b"three", 1500))
    assert [end for end, _ in parts_by_time(log, 0, 11)][-1] == 11
    assert list(parts_by_time(log, 6, 11)) == [(11, 1500)]
