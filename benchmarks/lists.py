"""A page of 50 jobs among very many, compared with one among a hundred.

    python -m benchmarks.lists [--seconds 3] [--rounds 5] [--jobs 100000]

Milliseconds that the service spends on one page, with 16 connections.
"""

from collections.abc import AsyncIterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asgard_async.domain.job import JobSpec
from asgard_async.jobs.submit.submitter import draw_job_id
from asgard_async.store.accepting import NewJob, insert_job
from asgard_async.store.database import Database
from benchmarks.bench import Bench, run
from benchmarks.figures import Row
from benchmarks.load import in_turns
from tests.support.service import UNREACHABLE_MLFLOW, running_service

SLEEP = b"import time; time.sleep(3000)"
SETTINGS = {
    **UNREACHABLE_MLFLOW,
    "ASGARD_JOBS__MAX_QUEUED_JOBS": "1000000",
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
}
QUERIES = {
    "list": ("", "a page of 50 jobs among {}"),
    "list-filtered": (
        "&experiment_name=experiment%201",
        "a page of 50 jobs, filtered to half of {}",
    ),
}


@dataclass(frozen=True)
class Size:
    """Seconds per round and service, rounds, jobs of the larger service."""

    seconds: float = 3
    rounds: int = 5
    jobs: int = 100_000


async def fill(data_dir: Path, jobs: int) -> None:
    """Create a database of queued jobs behind one that occupies the only slot."""
    data_dir.mkdir(parents=True)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    async with Database(data_dir / "asgard.db") as database:

        def transaction(conn: Any) -> None:
            for number in range(jobs):
                spec = JobSpec(
                    script_name="train.py",
                    experiment_name=f"experiment {number % 2}",
                    model_name="model",
                    timeout=3600,
                    script_sha256="0" * 64,
                    priority=0 if number else 100,
                )
                new = NewJob(spec=spec, script=SLEEP, uses_tracking=False)
                insert_job(conn, new, draw_job_id, begin + timedelta(seconds=number))

        await database.write(transaction)


async def measure(wanted: Set[str], size: Size, folder: Path) -> AsyncIterator[Row]:
    few, many = folder / "few", folder / "many"
    await fill(few, 100)
    await fill(many, size.jobs)
    async with running_service(few, SETTINGS) as first, running_service(many, SETTINGS) as second:
        for row_id, (query, what) in QUERIES.items():
            if row_id not in wanted:
                continue
            urls = [f"{one.url}/mlops/training/jobs?limit=50{query}" for one in (first, second)]
            small, large = await in_turns(urls, size.seconds, size.rounds)
            yield Row(
                id=row_id,
                what=what.format(f"{size.jobs:_}".replace("_", " ")),
                unit="ms",
                peer="the same among 100",
                asgard=large.ms_of_one,
                peer_values=small.ms_of_one,
            )


BENCH = Bench(
    ids=tuple(QUERIES),
    measure=measure,
    full=Size(),
    quick=Size(seconds=1, rounds=2, jobs=20_000),
)

if __name__ == "__main__":
    run(BENCH, __doc__)
