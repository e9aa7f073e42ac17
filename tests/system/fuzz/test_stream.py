"""Log streams with readers that disconnect, resume, and send invalid data.

In the end they have received the stored log, byte for byte.
"""

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.support.eventually import eventually
from tests.support.fuzz_effort import Search
from tests.support.fuzz_live import LiveService, live_service
from tests.support.raw_websocket import BINARY, CLOSE, PING, PONG, TEXT, RawSocket, frame

LOG_BYTES = 65536
"""The log size limit: longer logs have a hole."""

SETTINGS = {
    "ASGARD_LOGS__MAX_BYTES_PER_JOB": str(LOG_BYTES),
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "4",
    "ASGARD_WARM__ENABLED": "false",
}

WRITES = """\
import random, sys, time
rng = random.Random({seed})
alphabet = [b"line\\n", "ü€😀".encode(), b"\\xff\\xfe", b"\\xe2\\x82", b"\\0\\x1b[0m", b"\\r"]
for _ in range({writes}):
    size = rng.choice([1, 3, 100, {most}])
    data = b"".join(rng.choice(alphabet) for _ in range(size))
    # cut anywhere: a character may come in two writes
    at = rng.randrange(len(data) + 1)
    for part in (data[:at], data[at:]):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    time.sleep({pause})
"""
SCRIPTS = {
    "empty": "pass",
    "short": WRITES.format(seed=1, writes=3, most=5, pause=0),
    "many writes": WRITES.format(seed=2, writes=300, most=50, pause=0),
    "with a hole": WRITES.format(seed=3, writes=60, most=20_000, pause=0),
}
LIVE = WRITES.format(seed="{seed}", writes=40, most=300, pause=0.01)

numbers = st.one_of(st.integers(0, 200_000), st.sampled_from([0, 1, 2**31, 2**63, 2**64]))
bad_numbers = st.one_of(
    st.sampled_from(["-1", "1e3", "0x10", "", " ", "1_0", "٣", "NaN", "9" * 5000, "1&offset=2"]),
    st.text(max_size=8),
)
opcodes = st.sampled_from([0, TEXT, BINARY, 3, 7, CLOSE, PING, PONG, 11, 15])
flags = st.sampled_from([0x80, 0x80, 0x80, 0x00, 0xC0, 0xA0, 0x90, 0xF0])
payloads = st.one_of(
    st.binary(max_size=130),
    st.sampled_from([b"x" * 4096, b"x" * 4097, b"x" * 70_000, b"\x03\xe8", b"\x03\xe8\xff", b"\0"]),
)
sent = st.one_of(
    st.builds(frame, opcodes, payloads, flags=flags, masked=st.booleans()),
    st.binary(max_size=40),
    # announces bytes that never arrive
    st.just(b"\x81\xff" + b"\x7f" * 8),
)
protocols = st.one_of(
    st.none(),
    st.sampled_from(["", "asgard", "asgard.bearer.", "asgard.bearer.x, y", ",,,", "a" * 4000]),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=20),
)


@dataclass(frozen=True, kw_only=True)
class ConnectionPlan:
    """The behaviour of a reader on one connection, which resumes where the last one ended."""

    messages: int
    """The number of frames it reads before it disconnects."""
    sends: list[bytes]


plans = st.builds(ConnectionPlan, messages=st.integers(0, 30), sends=st.lists(sent, max_size=3))


@dataclass(kw_only=True)
class Reader:
    """A reader that resumes where it stopped, and checks the frames."""

    port: int
    path: str
    offset: int
    received: list[tuple[int, int, str | None]]
    """Offset, next and text of every frame; a hole has no text."""
    end: dict[str, Any] | None = None

    async def connect(self, plan: ConnectionPlan | None) -> None:
        """Connect, misbehave and disconnect; None reads to the end without misbehaving."""
        connection = await RawSocket.connect(self.port, self.path, str(self.offset))
        try:
            assert connection.status == 101, connection.head
            for data in plan.sends if plan else ():
                connection.send(data)
            left = plan.messages if plan else None
            while left is None or left > 0:
                document = await connection.document()
                if document is None:
                    return
                self.take(document)
                left = None if left is None else left - 1
        finally:
            connection.abort()

    def take(self, document: dict[str, Any]) -> None:
        assert self.end is None or document["type"] in {"status", "end"}
        if document["type"] in {"log", "gap"}:
            assert document["offset"] == self.offset, document
            assert document["next"] > self.offset, document
            self.received.append((self.offset, document["next"], document.get("data")))
            self.offset = document["next"]
        elif document["type"] == "end":
            assert document["offset"] == self.offset, document
            self.end = document

    def check(self, log: bytes, begin: int) -> None:
        """Compare with the stored log: each text, and no missing byte outside a hole."""
        assert self.end is not None
        assert self.offset == len(log)
        assert (self.received[0][0] if self.received else len(log)) == begin
        for offset, following, text in self.received:
            kept = log[offset:following]
            if text is None:
                assert kept.strip(b"\0") == b"", (offset, following)
            else:
                assert text == kept.decode("utf-8", "replace"), (offset, following)


def test_interrupted_readers_get_the_whole_log(tmp_path: Path) -> None:
    search = Search("streams")
    with live_service(tmp_path / "data", SETTINGS) as live:
        jobs = {name: live.run(live.service.submit(script)) for name, script in SCRIPTS.items()}
        for job_id in jobs.values():
            live.run(live.service.finished(job_id))
        seeds = itertools.count()

        def resume(name: str, begin: int, plans: list[ConnectionPlan]) -> None:
            search.count("connections", len(plans) + 1)
            if name == "live":
                search.count("jobs")
                job_id = live.run(live.service.submit(LIVE.replace("{seed}", str(next(seeds)))))
                begin = 0
            else:
                job_id = jobs[name]
            live.run(read_in_connections(live, job_id, begin, plans))

        search.examples(
            resume,
            short=15,
            name=st.sampled_from([*SCRIPTS, "live"]),
            begin=st.one_of(st.just(0), st.integers(0, LOG_BYTES * 3)),
            plans=st.lists(plans, max_size=6),
        )
        live.run(eventually(lambda: nobody_reads(live), what="every reader is forgotten"))
        live.service.assert_unharmed()


def test_an_upgrade_is_accepted_or_rejected(tmp_path: Path) -> None:
    search = Search("upgrades")
    with live_service(tmp_path / "data", SETTINGS) as live:
        job_id = live.run(live.service.submit(SCRIPTS["short"]))
        live.run(live.service.finished(job_id))

        def connect(offset: str, wanted: str | None) -> None:
            search.count("connections")
            live.run(connect_once(live, job_id, offset, wanted))

        offsets = st.one_of(numbers.map(str), bad_numbers)
        search.examples(connect, short=60, offset=offsets, wanted=protocols)
        live.run(eventually(lambda: nobody_reads(live), what="every reader is forgotten"))
        live.service.assert_unharmed()


async def nobody_reads(live: LiveService) -> bool:
    _, metrics = await live.service.get("/metrics")
    return "asgard_log_readers 0.0" in metrics.splitlines()


def log_file(live: LiveService, job_id: str) -> Path:
    return live.service.data_dir / "jobs" / job_id / "job.log"


async def read_in_connections(
    live: LiveService, job_id: str, begin: int, plans: list[ConnectionPlan]
) -> None:
    path = f"/mlops/training/jobs/{job_id}/logs/ws"
    log = log_file(live, job_id)
    if log.exists() and begin:
        begin = min(begin, log.stat().st_size)
    reader = Reader(port=live.service.port, path=path, offset=begin, received=[])
    for plan in plans:
        await asyncio.wait_for(reader.connect(plan), 60)
    reader.end = None
    await asyncio.wait_for(reader.connect(None), 60)
    stored = log.read_bytes()
    reader.check(stored, begin)


async def connect_once(live: LiveService, job_id: str, offset: str, wanted: str | None) -> None:
    path = f"/mlops/training/jobs/{job_id}/logs/ws"
    connection = await RawSocket.connect(live.service.port, path, quote(offset), wanted)
    try:
        assert connection.status == 101 or 400 <= connection.status < 500, connection.head
        if connection.status == 101:
            begin = min(int(offset), log_file(live, job_id).stat().st_size)
            while (document := await connection.document()) is not None:
                assert document.get("offset", begin) >= begin, document
    finally:
        connection.abort()
