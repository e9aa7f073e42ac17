"""The sanitiser's output, checked with a terminal emulator."""

import io
import re
from itertools import pairwise
from unicodedata import combining

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgard_async.cli.sanitiser import MAX_SEQUENCE, Sanitiser, multi_line, one_line

COLUMNS, ROWS = 20, 8
BEFORE = ["$ secret prompt", "$ asgard logs"]

# The sequences that pass, in the only form in which they are written.
OBEYED = re.compile(r"\x1b\[(?:[0-9;:]*m|[0-2]K|[1-9][0-9]*[ABCDG])")

FRAGMENTS = [
    "text",
    "\n",
    "\r",
    "\b",
    "\t",
    "é",
    "漢",
    "\x1b",
    "\x1b[",
    "\x9b",
    "\x1b[A",
    "\x1b[9A",
    "\x1b[3B",
    "\x1b[2F",
    "\x1b[E",
    "\x1b[5C",
    "\x1b[80D",
    "\x1b[7G",
    "\x1b[2K",
    "\x1b[1K",
    "\x1b[31m",
    "\x1b[38;2;1;2;3m",
    "\x1b[2J",
    "\x1b[H",
    "\x1b[1;1H",
    "\x1b[1;1f",
    "\x1b[1d",
    "\x1bM",
    "\x1bD",
    "\x1bE",
    "\x1bc",
    "\x1b7",
    "\x1b8",
    "\x1b[s",
    "\x1b[u",
    "\x1b[S",
    "\x1b[9T",
    "\x1b[9L",
    "\x1b[9M",
    "\x1b[1;3r",
    "\x1b[?1049h",
    "\x1b[?6h",
    "\x1b[?7l",
    "\x1b[20h",
    "\x1b[!p",
    "\x1b[6n",
    "\x1b[c",
    "\x1b[>c",
    "\x1b[21t",
    "\x1bZ",
    "\x05",
    "\x07",
    "\x0e",
    "\x1b(0",
    "\x1b#8",
    "\x1b%@",
    "\x1b]0;title\x07",
    "\x1b]2;title\x1b\\",
    "\x9d0;title\x9c",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1bP$q\x1b\\",
    "\x1b_apc\x1b\\",
    "\x1b^pm",
    "\x1bXsos",
    "\u202e",
    "0",
    ";",
    "?",
    "[",
    "A",
    "\x18",
    "\x1a",
    "\x0b",
    "\x0c",
    "\x00",
    "\x7f",
    "\x85",
]
logs = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(lambda parts: "".join(parts).encode()),
    st.lists(st.one_of(st.sampled_from(FRAGMENTS).map(str.encode), st.binary(max_size=4))).map(
        b"".join
    ),
)


class Screen(pyte.HistoryScreen):
    """A terminal that fails on queries and on setting its title."""

    def write_process_input(self, data: str) -> None:
        raise AssertionError(f"the terminal was made to answer {data!r}")

    def set_title(self, param: str) -> None:
        raise AssertionError(f"the title was set: {param!r}")

    set_icon_name = set_title


def shown(*texts: str, columns: int = COLUMNS, rows: int = ROWS) -> Screen:
    """A terminal after printing these texts, with line ends converted as by a tty."""
    screen = Screen(columns, rows, history=10_000, ratio=0.5)
    stream = pyte.Stream(screen)
    for text in texts:
        # pyte puts a combining mark at the start of a line at the end of the line above
        stream.feed("".join(c for c in text if not combining(c)).replace("\n", "\r\n"))
    return screen


def lines_of(screen: Screen) -> list[str]:
    """All lines including the history, top to bottom, without trailing blanks."""
    rows = [*screen.history.top, *(screen.buffer[y] for y in range(screen.lines))]
    return ["".join(row[x].data for x in range(screen.columns)).rstrip() for row in rows]


def sanitised(log: bytes, **settings: bool) -> str:
    sanitiser = Sanitiser(**settings)
    return sanitiser.feed(log) + sanitiser.end()


@given(logs)
def test_a_log_stays_within_its_lines_and_changes_nothing_else(log: bytes) -> None:
    before = "".join(f"{line}\n" for line in BEFORE)
    screen = shown(before, sanitised(log), "after")
    fresh = shown(before)
    lines = [line for line in lines_of(screen) if line]
    assert lines[: len(BEFORE)] == BEFORE
    assert lines[-1] == "after"
    assert (screen.mode, screen.margins, screen.tabstops) == (
        fresh.mode,
        fresh.margins,
        fresh.tabstops,
    )
    assert (screen.charset, screen.savepoints) == (fresh.charset, fresh.savepoints)
    assert screen.cursor.attrs == fresh.cursor.attrs


@given(logs)
def test_nothing_but_text_and_the_allowed_sequences_is_written(log: bytes) -> None:
    rest = OBEYED.sub("", sanitised(log))
    assert not re.search("[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", rest)


@given(logs, st.lists(st.integers(0, 200)))
def test_chunk_boundaries_do_not_matter(log: bytes, cuts: list[int]) -> None:
    http = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    sanitiser = Sanitiser()
    pieces = [sanitiser.feed(log[a:b]) for a, b in pairwise(http)]
    assert "".join(pieces) + sanitiser.end() == sanitised(log)


@given(logs)
def test_single_bytes_give_the_same_result(log: bytes) -> None:
    sanitiser = Sanitiser()
    pieces = [sanitiser.feed(log[at : at + 1]) for at in range(len(log))]
    assert "".join(pieces) + sanitiser.end() == sanitised(log)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf"])))
def test_plain_text_is_unchanged(text: str) -> None:
    assert Sanitiser().feed(text.encode()) == text


@pytest.mark.parametrize(
    "kept",
    [
        "\x1b[31mred\x1b[0m",
        "\x1b[1;38;2;255;100;0;48;5;17mmany\x1b[m",
        "10%\r20%",
        "\b\b\x1b[2K\x1b[0K",
        "a\tb\nc",
    ],
)
def test_sequences_for_colours_and_bars_pass(kept: str) -> None:
    assert Sanitiser().feed(kept.encode()) == kept


@pytest.mark.parametrize(
    "dropped",
    [
        "\x1b]0;title\x07",
        "\x1b]52;c;ZXZpbA==\x1b\\",
        "\x9d52;c;ZXZpbA==\x9c",
        "\x1b]8;;https://example.org\x1b\\",
        "\x1b[6n",
        "\x1b[c",
        "\x05",
        "\x1b[?1049h",
        "\x1b[?25l",
        "\x1b[H",
        "\x1b[2J",
        "\x1b[3J",
        "\x1b[A",
        "\x1bM",
        "\x1bc",
        "\x1b(0",
        "\x0e",
        "\x1bP+q544e\x1b\\",
        "\x1b[>4;2m",
        "\x1b[31 m",
        "\x1b[?31m",
        "\x9b?5h",
        "\x07",
        "\u202e",
    ],
)
def test_other_control_sequences_are_dropped(dropped: str) -> None:
    assert sanitised(f"a{dropped}b".encode()) == "ab\n"


def test_a_bare_c1_byte_is_not_a_control() -> None:
    assert sanitised(b"a\x9b2Jb") == "a\ufffd2Jb\n"


def test_cursor_up_stops_at_the_first_line_of_the_log() -> None:
    assert sanitised(b"1\n2\n\x1b[5A3") == "1\n2\n\x1b[2A3\n\n"
    assert sanitised(b"1\n\x1b[A\x1b[A\x1b[2Bx") == "1\n\x1b[1A\x1b[1Bx\n"


def test_a_log_cannot_overwrite_messages_in_between() -> None:
    sanitiser = Sanitiser()
    text = sanitiser.feed(b"\x1b[31m1\n2\n\x1b[2A") + sanitiser.leave()
    text += "(reconnected)\n" + sanitiser.feed(b"\x1b[2A3") + sanitiser.end()
    screen = shown(text)
    assert lines_of(screen)[:4] == ["1", "2", "(reconnected)", "3"]
    assert screen.buffer[2][0].fg == "default"


def test_an_unterminated_string_hides_only_its_line() -> None:
    assert sanitised(b"a\x1b]0;title\nb") == "a\nb\n"


@pytest.mark.parametrize("start", [b"\x1b[", b"\x1b]", b"\x1bP"])
def test_an_unterminated_sequence_costs_no_memory(start: bytes) -> None:
    sanitiser = Sanitiser()
    sanitiser.feed(start)
    for _ in range(100):
        assert sanitiser.feed(b" 1" * 10_000) == ""
    assert len(sanitiser._sequence) <= MAX_SEQUENCE + 1
    assert sanitiser.feed(b"\n\x1b[1mtext") == "\n\x1b[1mtext"


def test_progress_bars_work_without_colours() -> None:
    assert sanitised(b"\x1b[31m1%\r\x1b[K2%", colours=False) == "1%\r\x1b[0K2%\n"
    assert sanitised(b"\x1b[31m1%\r\x1b[K2%", colours=False, movements=False) == "1%\r2%\n"


def test_two_bars_of_tqdm_are_readable() -> None:
    from tqdm import tqdm

    log = io.StringIO()
    with tqdm(total=3, file=log, ncols=40, mininterval=0, desc="outer") as outer:
        for _ in range(3):
            for _ in tqdm(range(2), "inner", 2, False, log, 40, mininterval=0, position=1):
                pass
            outer.update()
    assert "\x1b[A" in log.getvalue()
    screen = shown("before\n", sanitised(log.getvalue().encode()), "after", columns=80)
    lines = [line for line in lines_of(screen) if line]
    assert [line[:12] for line in lines] == ["before", "outer: 100%|", "after"]


def test_progress_of_rich_is_readable() -> None:
    from rich.console import Console
    from rich.progress import Progress

    log = io.StringIO()
    console = Console(file=log, force_terminal=True, width=60, legacy_windows=False)
    with Progress(console=console, auto_refresh=False) as progress:
        tasks = [progress.add_task(name, total=2) for name in ("one", "two")]
        for _ in range(2):
            for task in tasks:
                progress.advance(task)
                progress.refresh()
        progress.print("in between")
    screen = shown("before\n", sanitised(log.getvalue().encode()), "after", columns=80)
    lines = [line for line in lines_of(screen) if line]
    assert [line.split()[0] for line in lines] == ["before", "in", "one", "two", "after"]
    assert "100%" in lines[2]
    assert "100%" in lines[3]


def test_escape_sequences_in_names_are_not_obeyed() -> None:
    assert one_line("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\\nc\\u202e"
    assert one_line("Größe 漢") == "Größe 漢"
    assert multi_line("a\x07\nb") == "a\\x07\nb"
