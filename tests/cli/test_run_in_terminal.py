"""`asgard run` in a real terminal: its display, and Ctrl-C."""

from pathlib import Path

import pytest

from tests.cli.test_run import WAITS, job_of, unique_script
from tests.support.service import Service
from tests.support.terminal import CTRL_C, ROWS, Terminal, in_terminal

pytestmark = pytest.mark.service

HOSTILE = r"""
print("first line of the log")
print("\033[31mred\033[0m plain")
print("\033]0;stolen title\007\033]52;c;ZXZpbA==\007", end="")
print("\033[2J\033[H\033[?1049h\033[6n\033[c\033[50A\033[?25l", end="")
print("last line", end="")
"""

BARS = """
from tqdm import tqdm
for _ in tqdm(range(3), desc="outer", ncols=60):
    for _ in tqdm(range(50), desc="inner", ncols=60, leave=False):
        pass
print("trained")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return unique_script(tmp_path)


def only(lines: list[str], word: str) -> str:
    (found,) = [line for line in lines if word in line]
    return found


async def test_bars_and_colours_are_readable(shared: Service, script: Path) -> None:
    script.write_text(BARS + r"print('\033[32mgreen\033[0m')")
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        assert await terminal.ended() == 0
    assert only(terminal.lines, "outer").startswith("outer: 100%|█")
    assert "3/3" in only(terminal.lines, "outer")
    assert not [line for line in terminal.lines if "inner" in line]
    order = ["Submitted job", "outer", "trained", "green", "completed"]
    assert [word for line in terminal.lines for word in order if word in line] == order
    assert terminal.colour_of("green") == "green"
    assert terminal.colour_of("completed") == "green"
    assert not terminal.cursor_is_hidden


async def test_a_hostile_log_changes_only_its_own_lines(shared: Service, script: Path) -> None:
    script.write_text(HOSTILE)
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        assert await terminal.ended() == 0
    assert "Submitted job" in terminal.lines[0]
    # the cursor cannot move above the log's own first line
    assert terminal.lines[1:3] == ["last linee of the log", "red plain"]
    assert terminal.title == ""
    assert terminal.colour_of("red") == "red"
    for forbidden in (b"]52;", b"]0;", b"1049", b"[6n", b"[c", b"[2J"):
        assert forbidden not in terminal.written
    assert not terminal.cursor_is_hidden


async def test_raw_passes_output_unchanged(shared: Service, script: Path) -> None:
    script.write_text(HOSTILE)
    with in_terminal("run", script, "--raw", ASGARD_URL=shared.url) as terminal:
        assert await terminal.ended() == 0
    assert terminal.title == "stolen title"


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
async def test_colours_can_be_turned_off(shared: Service, script: Path, variable: str) -> None:
    script.write_text(r"print('\033[31mred\033[0m plain\r\033[K!')")
    value = {"NO_COLOR": "1", "TERM": "dumb"}[variable]
    with in_terminal("run", script, ASGARD_URL=shared.url, **{variable: value}) as terminal:
        assert await terminal.ended() == 0
    assert terminal.colour_of("completed") == "default"
    assert b"\x1b[31m" not in terminal.written
    assert (b"\x1b" in terminal.written) == (variable == "NO_COLOR")


async def test_a_spinner_shows_the_queue_position_and_vanishes(
    service: Service, tmp_path: Path, script: Path
) -> None:
    flag = tmp_path / "flag"
    blocking = WAITS.format(flag=str(flag))
    _, metrics = await service.get("/metrics")
    slots = float(metrics.partition("\nasgard_slots ")[2].split()[0])
    for _ in range(int(slots) + 1):
        await service.submit(blocking)
    script.write_text("print('done')")
    with in_terminal("run", script, ASGARD_URL=service.url) as terminal:
        await terminal.shows("number 2 in the queue")
        flag.touch()
        assert await terminal.ended() == 0
    assert not [line for line in terminal.lines if "queue" in line]
    assert not terminal.cursor_is_hidden


class Waiting:
    """A job that waits for a flag while it is followed in a terminal."""

    def __init__(self, terminal: Terminal, flag: Path) -> None:
        self.terminal = terminal
        self.flag = flag

    async def interrupt(self) -> None:
        await self.terminal.shows("waiting")
        self.terminal.type(CTRL_C)
        await self.terminal.shows("continue (Enter)?")


async def test_ctrl_c_asks_and_c_cancels_the_job(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    script.write_text(WAITS.format(flag=str(tmp_path / "never")))
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        await Waiting(terminal, tmp_path).interrupt()
        terminal.type("c\n")
        assert await terminal.ended() == 130
    assert only(terminal.lines, "ended  cancelled")
    assert (await shared.job(await job_of(shared, script)))["status"] == "cancelled"


@pytest.mark.parametrize("answer", ["d\n", CTRL_C])
async def test_d_and_a_second_ctrl_c_detach(
    shared: Service, tmp_path: Path, script: Path, answer: str
) -> None:
    flag = tmp_path / "flag"
    script.write_text(WAITS.format(flag=str(flag)))
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        await Waiting(terminal, flag).interrupt()
        terminal.type(answer)
        assert await terminal.ended() == 125
    job_id = await job_of(shared, script)
    assert f"asgard logs -f {job_id}" in only(terminal.lines, "Detached")
    assert (await shared.job(job_id))["status"] == "running"
    flag.touch()
    assert (await shared.finished(job_id))["status"] == "completed"


@pytest.mark.parametrize("is_removed", [False, True])
async def test_detaching_reports_a_job_that_ended_meanwhile(
    shared: Service, tmp_path: Path, script: Path, *, is_removed: bool
) -> None:
    flag = tmp_path / "flag"
    script.write_text(WAITS.format(flag=str(flag)))
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        await Waiting(terminal, flag).interrupt()
        flag.touch()
        job_id = await job_of(shared, script)
        await shared.finished(job_id)
        if is_removed:
            status, _ = await shared.request("DELETE", f"/mlops/training/jobs/{job_id}")
            assert status == 204
        terminal.type("d\n")
        assert await terminal.ended() == 125
    message = only(terminal.lines, "Detached")
    assert ("has been deleted" if is_removed else "has completed") in message
    assert not [line for line in terminal.lines if "still running" in line]


async def test_enter_resumes_following(shared: Service, tmp_path: Path, script: Path) -> None:
    flag = tmp_path / "flag"
    script.write_text(WAITS.format(flag=str(flag)))
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        await Waiting(terminal, flag).interrupt()
        terminal.type("what?\n")
        await terminal.shows("continue (Enter)?", times=2)
        terminal.type("\n")
        flag.touch()
        assert await terminal.ended() == 0
    assert [line for line in terminal.lines if line == "went on"]


async def test_the_log_waits_while_the_question_is_open(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    flag = tmp_path / "flag"
    script.write_text(WAITS.format(flag=str(flag)))
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        await Waiting(terminal, flag).interrupt()
        flag.touch()
        await shared.finished(await job_of(shared, script))
        assert "went on" not in terminal.lines
        terminal.type("\n")
        assert await terminal.ended() == 0
    question = next(n for n, line in enumerate(terminal.lines) if "(Enter)?" in line)
    assert terminal.lines.index("went on") > question


async def test_a_detached_log_can_be_followed_again(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    flag = tmp_path / "flag"
    job_id = await shared.submit(WAITS.format(flag=str(flag)) + "\nprint(*range(9), sep='\\n')")
    with in_terminal("logs", "-f", job_id, ASGARD_URL=shared.url) as terminal:
        await terminal.shows("waiting")
        terminal.type(CTRL_C)
        assert await terminal.ended() == 130
    with in_terminal("logs", "-f", job_id, ASGARD_URL=shared.url) as terminal:
        await terminal.shows("waiting")
        flag.touch()
        assert await terminal.ended() == 0
    assert [line for line in terminal.lines if line][-1] == "8"
    assert ROWS > len(terminal.lines) - 10


async def test_a_restart_is_reported_on_its_own_lines(
    service: Service, tmp_path: Path, script: Path
) -> None:
    flag = tmp_path / "flag"
    script.write_text(WAITS.format(flag=str(flag)).replace('"waiting"', '"waiting", end=""'))
    with in_terminal("run", script, ASGARD_URL=service.url) as terminal:
        await terminal.shows("waiting")
        await service.kill()
        await terminal.shows("Connection lost")
        await service.start()
        flag.touch()
        assert await terminal.ended() == 0
    broke = next(n for n, line in enumerate(terminal.lines) if "Connection lost" in line)
    assert terminal.lines[broke - 1] == "waiting"
    assert "went on" in terminal.lines[broke:]


async def test_closing_the_terminal_leaves_the_job_running(
    shared: Service, tmp_path: Path, script: Path
) -> None:
    flag = tmp_path / "flag"
    script.write_text(WAITS.format(flag=str(flag)))
    with in_terminal("run", script, ASGARD_URL=shared.url) as terminal:
        await terminal.shows("waiting")
        assert await terminal.closed() == 125
    flag.touch()
    assert (await shared.finished(await job_of(shared, script)))["status"] == "completed"
