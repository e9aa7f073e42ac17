"""A state machine over submit, cancel, retry, delete and restart, compared with a model.

All sequences share a service: it is killed and stopped during them, and empty after each.
"""

import asyncio
import contextlib
import itertools
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.support.eventually import eventually
from tests.support.fuzz_effort import Search
from tests.support.fuzz_live import LiveService, live_service
from tests.support.job_model import KINDS, PRELOADED, Expected, Kind
from tests.support.service import Service, submission

SLOTS = 2
MAX_QUEUED = 5
SETTINGS = {
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": str(SLOTS),
    "ASGARD_JOBS__MAX_QUEUED_JOBS": str(MAX_QUEUED),
    # fast to import, so that a fork server is ready between two restarts
    "ASGARD_WARM__PRELOAD": f'["{PRELOADED}"]',
}
IN_A_SLOT = {"environment", "starting", "running", "stopping"}
JOBS = "/mlops/training/jobs"
UPLOAD = "/mlops/training/upload"

Answer = tuple[int, Any]

kinds = st.sampled_from(KINDS)
priorities = st.sampled_from([0, 0, 0, 5, -5])
moments = st.integers(0, 40)
"""Delays in milliseconds before the service is killed during a request."""


def test_jobs_behave_as_their_model(tmp_path: Path) -> None:
    search = Search("jobs")
    with live_service(tmp_path / "data", SETTINGS) as live:

        class Jobs(JobMachine):
            pass

        Jobs.live, Jobs.search = live, search
        search.machine(Jobs, short=2, steps=8)
        live.service.assert_unharmed()


class JobMachine(RuleBasedStateMachine):
    """Requests to the service and their effects on the model."""

    live: LiveService
    search: Search
    keys = itertools.count()

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Expected] = {}
        self.live.run(self.emptied())
        self.search.count("sequences")

    @property
    def service(self) -> Service:
        return self.live.service

    async def emptied(self) -> None:
        """Remove the jobs of a failed sequence: they would make its repetition fail and hide
        the actual failure."""
        if not await self.service.responds():
            await self.service.start()
        _, page = await self.service.get(JOBS, params={"limit": "100"})
        for job in page["jobs"]:
            await self.service.post(f"{JOBS}/{job['job_id']}/cancel")
            await self.service.phase(job["job_id"], "finished")
            await self.service.request("DELETE", f"{JOBS}/{job['job_id']}")

    # --- requests -------------------------------------------------------------------------

    def ask(self, method: str, path: str, **kwargs: Any) -> Answer:
        self.search.count("requests")
        return self.live.run(self.service.request(method, path, **kwargs))

    async def try_to_ask(self, method: str, path: str, **kwargs: Any) -> Answer | None:
        """Send a request; None if the service was killed before it responded."""
        self.search.count("requests")
        with contextlib.suppress(aiohttp.ClientError):
            return await self.service.request(method, path, **kwargs)
        return None

    def listed(self) -> dict[str, dict[str, Any]]:
        status, page = self.ask("GET", JOBS, params={"limit": "100"})
        assert status == 200, page
        return {job["job_id"]: job for job in page["jobs"]}

    def dying(
        self, milliseconds: int, request: Coroutine[Any, Any, Answer | None]
    ) -> Answer | None:
        """Send a request, kill the service during it, and start it again."""

        async def both() -> Answer | None:
            sent = asyncio.ensure_future(request)
            await asyncio.sleep(milliseconds / 1000)
            await self.service.kill()
            answer = await sent
            await self.service.start()
            return answer

        self.search.count("kills")
        return self.live.run(both())

    # --- submit ---------------------------------------------------------------------------

    @rule(target=jobs, kind=kinds, priority=priorities, has_key=st.booleans())
    def submit(self, kind: Kind, priority: int, *, has_key: bool) -> Expected | MultipleResults:
        key = f"key-{next(self.keys)}" if has_key else None
        status, answer = self.ask("POST", UPLOAD, json=self.body(kind, priority, key))
        return self.accepted(status, answer, kind=kind, priority=priority, key=key)

    @rule(target=jobs, kind=kinds, priority=priorities, milliseconds=moments)
    def submit_to_a_dying_service(
        self, kind: Kind, priority: int, milliseconds: int
    ) -> Expected | MultipleResults:
        """Submit like a client with a key: retry once the service is up again."""
        key = f"key-{next(self.keys)}"
        body = self.body(kind, priority, key)
        first = self.dying(milliseconds, self.try_to_ask("POST", UPLOAD, json=body))
        status, answer = self.ask("POST", UPLOAD, json=body)
        if first is not None and first[0] == 202:
            assert (status, answer["job_id"]) == (200, first[1]["job_id"])
        return self.accepted(status, answer, kind=kind, priority=priority, key=key)

    @staticmethod
    def body(kind: Kind, priority: int, key: str | None) -> dict[str, Any]:
        fields: dict[str, Any] = {"priority": priority, "timeout": kind.timeout}
        if key is not None:
            fields["idempotency_key"] = key
        return submission(kind.script, **fields)

    def accepted(self, status: int, answer: Any, **facts: Any) -> Expected | MultipleResults:
        if status == 429:
            # at most those jobs are queued that have not been seen finished
            assert len(self.unfinished()) >= MAX_QUEUED, answer
            return multiple()
        assert status in {200, 202}, answer
        assert answer["job_id"] not in self.known
        return self.remember(answer, **facts)

    def remember(self, answer: Any, **facts: Any) -> Expected:
        self.search.count("jobs")
        job = Expected(job_id=answer["job_id"], **facts)
        self.known[job.job_id] = job
        return job

    @rule(job=jobs, is_other=st.booleans())
    def submit_again(self, job: Expected, *, is_other: bool) -> None:
        if job.key is None:
            return
        body = self.body(job.kind, job.priority + is_other, job.key)
        status, answer = self.ask("POST", UPLOAD, json=body)
        if is_other or job.was_deleted:
            assert status == 409, answer
        else:
            assert (status, answer["job_id"]) == (200, job.job_id), answer

    # --- what is done with a job ----------------------------------------------------------

    @rule(job=jobs)
    def cancel(self, job: Expected) -> None:
        self.cancelled(job, self.ask("POST", f"{JOBS}/{job.job_id}/cancel"))

    @rule(job=jobs, milliseconds=moments)
    def cancel_in_a_dying_service(self, job: Expected, milliseconds: int) -> None:
        cancel = self.try_to_ask("POST", f"{JOBS}/{job.job_id}/cancel")
        answer = self.dying(milliseconds, cancel)
        # no response: it may have taken effect or not; repeated, it must
        self.cancelled(job, answer or self.ask("POST", f"{JOBS}/{job.job_id}/cancel"))

    def cancelled(self, job: Expected, answer: Answer) -> None:
        assert answer[0] == (404 if job.was_deleted else 202), answer
        job.was_cancelled = True

    @rule(target=jobs, job=jobs)
    def retry(self, job: Expected) -> Expected | MultipleResults:
        status, answer = self.ask("POST", f"{JOBS}/{job.job_id}/retry")
        if job.was_deleted:
            assert status == 404, answer
            return multiple()
        return self.accepted(status, answer, **self.twin(job))

    @rule(target=jobs, job=jobs, milliseconds=moments)
    def retry_in_a_dying_service(
        self, job: Expected, milliseconds: int
    ) -> Expected | MultipleResults:
        answer = self.dying(milliseconds, self.try_to_ask("POST", f"{JOBS}/{job.job_id}/retry"))
        # a job accepted without a response exists as well, and nothing else
        unknown = [found for found in self.listed().values() if found["job_id"] not in self.known]
        if answer is not None and answer[0] == 202:
            assert [found["job_id"] for found in unknown] == [answer[1]["job_id"]]
        assert len(unknown) <= (not job.was_deleted)
        return self.remember(unknown[0], **self.twin(job)) if unknown else multiple()

    @staticmethod
    def twin(job: Expected) -> dict[str, Any]:
        return {"kind": job.kind, "priority": job.priority, "retry_of": job.job_id}

    @rule(job=jobs)
    def delete(self, job: Expected) -> None:
        self.deleted(job, self.ask("DELETE", f"{JOBS}/{job.job_id}"))

    @rule(job=jobs, milliseconds=moments)
    def delete_in_a_dying_service(self, job: Expected, milliseconds: int) -> None:
        answer = self.dying(milliseconds, self.try_to_ask("DELETE", f"{JOBS}/{job.job_id}"))
        if answer is None:
            answer = self.ask("DELETE", f"{JOBS}/{job.job_id}")
            if answer[0] == 404 and job.ends:
                answer = (204, None)  # it was deleted before the service was killed
        self.deleted(job, answer)

    def deleted(self, job: Expected, answer: Answer) -> None:
        status = answer[0]
        if job.was_deleted:
            assert status == 404, answer
        elif job.seen_end:
            assert status == 204, answer
        else:
            assert status in ({204, 409} if job.ends else {409}), answer
        job.was_deleted |= status == 204

    @rule(job=jobs)
    def open_gate(self, job: Expected) -> None:
        job.may_pass = True
        self.touch_gates()

    def touch_gates(self) -> bool:
        """Open the gates of started jobs."""
        for job in self.unfinished():
            work = self.service.data_dir / "jobs" / job.job_id / "attempts"
            for directory in work.glob("*/work") if job.may_pass else ():
                (directory / "gate").touch()
        return True

    @rule(job=jobs)
    def wait_for_the_end(self, job: Expected) -> None:
        others = [other for other in self.unfinished() if other.is_held and not other.was_cancelled]
        if not job.was_deleted and job.ends and len(others) < SLOTS:
            self.finish(job)

    def finish(self, job: Expected) -> None:
        async def is_over() -> bool:
            self.touch_gates()
            status, found = await self.service.get(f"{JOBS}/{job.job_id}", params={"logs": "none"})
            assert status == 200, found
            return bool(found["phase"] == "finished")

        self.live.run(eventually(is_over, what=f"{job} ends"))
        found = self.live.run(self.service.job(job.job_id, logs="full"))
        job.check_in_full(found)

    # --- restarts -------------------------------------------------------------------------

    @precondition(lambda self: self.known)
    @rule(number=st.sampled_from([signal.SIGKILL, signal.SIGTERM]))
    def restart(self, number: signal.Signals) -> None:
        async def again() -> None:
            code = await self.service.end(number)
            assert code == (0 if number == signal.SIGTERM else -number)
            await self.service.start()

        self.search.count("restarts")
        self.live.run(again())

    # --- always ---------------------------------------------------------------------------

    def unfinished(self) -> list[Expected]:
        """The jobs that have not been seen finished."""
        return [job for job in self.known.values() if not job.seen_end and not job.was_deleted]

    @invariant()
    @precondition(lambda self: self.known)
    def everything_is_as_expected(self) -> None:
        found = self.listed()
        expected = {job.job_id for job in self.known.values() if not job.was_deleted}
        assert found.keys() == expected
        for job_id, job in found.items():
            self.known[job_id].check(job)
        assert sum(job["phase"] in IN_A_SLOT for job in found.values()) <= SLOTS
        jobs = self.service.data_dir / "jobs"
        gone = [jobs / job.job_id for job in self.known.values() if job.was_deleted]
        # if the service was killed meanwhile, by its next start at the latest
        self.live.run(eventually(lambda: not any(path.exists() for path in gone)))

    @invariant()
    @precondition(lambda self: self.known)
    def those_who_wait_know_their_place(self) -> None:
        waiting = [job for job in self.unfinished() if self.must_wait(job)]
        places = {}
        for job in waiting:
            status, found = self.ask("GET", f"{JOBS}/{job.job_id}", params={"logs": "none"})
            assert status == 200, found
            assert found["phase"] == "queued", (found, self.known)
            places[job.job_id] = found["queue_position"]
        in_order = sorted(waiting, key=lambda job: -job.priority)  # stable sort: older first
        assert [places[job.job_id] for job in in_order] == sorted(places.values())

    def must_wait(self, job: Expected) -> bool:
        """True if other jobs occupy both slots indefinitely."""
        if job.was_cancelled:
            return False
        holders = [
            other
            for other in self.unfinished()
            if other.is_held and not other.was_cancelled and self.is_running(other)
        ]
        return len(holders) == SLOTS and job not in holders

    def is_running(self, job: Expected) -> bool:
        log = self.service.data_dir / "jobs" / job.job_id / "job.log"
        return log.exists() and log.read_bytes().startswith(b"began\n")

    def teardown(self) -> None:
        for job in self.known.values():
            job.may_pass = True
        for job in self.known.values():
            if not job.was_deleted:
                self.finish(job)
                self.everything_is_as_expected()
        _, status = self.ask("GET", "/mlops/status")
        present = [job for job in self.known.values() if not job.was_deleted]
        assert sum(status["jobs"].values()) == len(present), status
        for job in present:
            self.delete(job)
        assert not self.listed()
        assert not list((self.service.data_dir / "jobs").iterdir())
