"""Generated request targets: served or rejected, never with a file outside."""

import asyncio
from pathlib import Path
from urllib.parse import quote

from hypothesis import strategies as st

from asgard_async.api.routes import PAGES, ROUTES
from tests.support.fuzz_effort import Search
from tests.support.fuzz_live import LiveService, live_service

SECRET = "what-no-address-leads-to"

PIECES = [
    "..", ".", "", "~", "%2e%2e", "%252e%252e", "..%2f..", "..%252f", "%c0%ae%c0%ae", "..;", ";",
    "%00", "%0d%0aX-Evil:%201", "#", "?", "\\", "..\\..", "%5c..", "etc/passwd",
    "proc/self/environ", "secret.txt", "asgard.db", "tokens.json", "job.log", "attempts",
    "A" * 9000, "%", "%zz", "+", "*", ":", "@", "//", "file:", "{job_id}", "ü", "00000000",
]  # fmt: skip
"""Traversals that worked on other servers: once and twice encoded, truncated, absolute."""

VERBS = ["GET", "GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X"]
ROUTE_PATHS = sorted({route.path for route in (*ROUTES, *PAGES)})

segments = st.one_of(
    st.sampled_from(PIECES),
    st.lists(st.sampled_from(PIECES), min_size=2, max_size=5).map("/".join),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=12),
    st.text(max_size=6).map(lambda text: quote(text.encode("utf-8", "replace"), safe="")),
)


@st.composite
def targets(draw: st.DrawFn, job_id: str, secret: Path) -> str:
    """A route with one segment replaced, or an invalid target."""
    path: str = draw(st.sampled_from(ROUTE_PATHS))
    odd = draw(segments)
    match draw(st.integers(0, 4)):
        case 0:
            path = f"/{odd}"
        case 1:
            path = f"{path.replace('{job_id}', job_id)}/{odd}{secret}"
        case 2:
            parts = path.split("/")
            parts[draw(st.integers(1, len(parts) - 1))] = odd
            path = "/".join(parts)
        case 3:
            path = path.replace("{job_id}", job_id) + f"?{odd}={odd}"
        case _:
            path = f"http://elsewhere.example/{odd}"
    for name in ("{job_id}", "{name}", "{file}"):
        path = path.replace(name, odd)
    return path


def test_paths_do_not_escape(tmp_path: Path) -> None:
    search = Search("paths")
    with live_service(tmp_path / "data") as live:
        job_id = live.run(live.service.submit(f"print({job_text()!r})"))
        live.run(live.service.finished(job_id))
        secret = tmp_path / "data" / "secret.txt"
        secret.write_text(SECRET)

        def ask(verb: str, target: str) -> None:
            search.count("requests")
            answer = live.run(answer_to(live, verb, target))
            status = int(answer.split(b" ", 2)[1])
            # models need MLflow, which does not run
            assert status < 500 or (status == 503 and "/models" in target), answer
            for foreign in (SECRET.encode(), b"root:x:0", b"SQLite format 3", b"Traceback"):
                assert foreign not in answer, target
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert b"\r\nx-evil" not in head, target
            if status >= 400 and verb != "HEAD":
                assert b"application/problem+json" in head or status == 400, answer
            assert str(tmp_path).encode() not in answer.replace(target.encode("latin-1"), b"")

        search.examples(ask, short=150, verb=st.sampled_from(VERBS), target=targets(job_id, secret))
        assert secret.read_text() == SECRET
        live.service.assert_unharmed()


def job_text() -> str:
    return "a job whose address is known"


async def answer_to(live: LiveService, verb: str, target: str) -> bytes:
    """The whole response to a request with exactly this target."""
    port = live.service.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{verb} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    try:
        writer.write(head.encode("latin-1"))
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.transport.abort()
