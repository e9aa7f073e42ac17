"""The cache: protects environments in use, deletes the least recently used, allows concurrency."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asgard_async.environments.cache import CachedEnvironment, EnvironmentCache

MB = 1 << 20
A, B, C, D = (letter * 20 for letter in "abcd")
ONCE = [f"once{number:016x}" for number in range(3)]


@pytest.fixture
def cache(tmp_path: Path) -> EnvironmentCache:
    return EnvironmentCache(tmp_path)


def make(cache: EnvironmentCache, key: str, *, megabytes: int = 1, used_at: int = 1) -> None:
    directory = cache.path_of(key)
    (directory / "venv" / "bin").mkdir(parents=True)
    (directory / "venv" / "data").write_bytes(os.urandom(megabytes * MB))
    (directory / "requirements.txt").write_text("mlflow==3\nnumpy\n")
    (directory / "lock").touch()
    os.utime(directory / "lock", (used_at, used_at))


def keys(cache: EnvironmentCache) -> list[str]:
    return [environment.key for environment in cache.all()]


def test_an_absent_environment_is_none(cache: EnvironmentCache) -> None:
    with cache.held("0" * 20) as environment:
        assert environment is None
    assert cache.all() == []


def test_holding_records_use_and_prevents_removal(cache: EnvironmentCache) -> None:
    make(cache, A, used_at=1)
    make(cache, B, used_at=2)
    assert keys(cache) == [A, B]
    with cache.held(A) as environment:
        assert environment is not None
        assert environment.requirements == ["mlflow==3", "numpy"]
        assert environment.is_in_use()
        assert keys(cache) == [B, A]
        assert not environment.remove()
    assert not environment.is_in_use()
    assert environment.remove()
    assert keys(cache) == [B]
    assert not environment.remove()


def test_pruning_removes_the_least_recently_used(cache: EnvironmentCache) -> None:
    for number, key in enumerate((A, B, C, D)):
        make(cache, key, megabytes=2, used_at=number + 1)
    assert cache.prune(max_bytes=100 * MB) == []
    with cache.held(A):
        assert cache.prune(max_bytes=5 * MB) == [B, C]
    assert keys(cache) == [D, A]
    assert cache.prune(max_bytes=0, but=A) == [D]
    assert cache.prune(max_bytes=0) == [A]
    assert list(cache.directory.iterdir()) == []


def test_single_job_environments_end_with_their_job(cache: EnvironmentCache) -> None:
    for number, key in enumerate([A, ONCE[0], ONCE[1], ONCE[2]]):
        make(cache, key, used_at=number + 1)
    with cache.held(ONCE[0]):
        assert cache.prune(max_bytes=100 * MB, but=ONCE[2]) == [ONCE[1]]
    assert cache.prune(max_bytes=100 * MB) == [ONCE[2], ONCE[0]]
    assert keys(cache) == [A]


def test_a_hard_linked_file_counts_its_share(cache: EnvironmentCache, tmp_path: Path) -> None:
    make(cache, A, megabytes=4)
    environment = CachedEnvironment(directory=cache.path_of(A))
    alone = environment.size_bytes()
    (tmp_path / "elsewhere").hardlink_to(environment.directory / "venv" / "data")
    assert alone >= 4 * MB
    assert environment.size_bytes() <= alone - 2 * MB


def test_a_hold_by_another_process_is_respected(cache: EnvironmentCache) -> None:
    make(cache, A)
    program = f"""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from asgard_async.environments.cache import EnvironmentCache
with EnvironmentCache(Path({str(cache.directory)!r})).held({A!r}):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert cache.prune(max_bytes=0) == []
        other.communicate("\n")
    assert cache.prune(max_bytes=0) == [A]


def test_concurrent_removal_never_shows_a_partial_one(cache: EnvironmentCache) -> None:
    problems: list[str] = []
    stop = threading.Event()

    def use() -> None:
        while not stop.wait(0.002):  # at times nobody holds it
            with cache.held(A) as environment:
                if environment is not None and not (environment.directory / "venv/data").exists():
                    problems.append("half of it")

    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    for number in range(15):
        apart = EnvironmentCache(cache.directory.parent / f"apart{number}")
        make(apart, A)
        apart.path_of(A).rename(cache.path_of(A))
        while cache.path_of(A).exists():
            cache.prune(max_bytes=0)
    stop.set()
    for user in users:
        user.join()
    assert problems == []


def test_removing_and_listing_may_run_concurrently(cache: EnvironmentCache) -> None:
    together = threading.Barrier(4)

    def remove(environment: CachedEnvironment) -> bool:
        together.wait()
        cache.all()
        return environment.remove()

    with ThreadPoolExecutor(4) as threads:
        for _ in range(100):
            make(cache, A, megabytes=0)
            (environment,) = cache.all()
            assert sum(threads.map(remove, [environment] * 4)) == 1


def test_interrupted_removals_are_finished(cache: EnvironmentCache) -> None:
    make(cache, A)
    make(cache, B)
    cache.path_of(A).rename(cache.directory / f".{A}.12345")
    cache.sweep()
    assert [path.name for path in cache.directory.iterdir()] == [B]
