"""Finding the exception that ended a script in the output of real scripts.

tests/jobs/outputs holds the output of scripts that were run once, with only paths shortened; the
short ones below are run again, so that a new Python that prints differently is noticed.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgard_async.jobs.failure import (
    LONGEST_LINE,
    is_memory_error,
    last_exception_line,
    runs_ended_at_exit,
)

OUTPUTS = Path(__file__).parent / "outputs"
LONG_PATH = (
    "'a folder with a rather long name/and another one/with more words in it/that go on and on"
    "/rows.csv'"
)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("cause", "RuntimeError: outer"),
        ("exception_group", "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)"),
        ("from_a_worker_process", "ZeroDivisionError: division by zero"),
        ("ignored_in_del", "ValueError: real end"),
        ("keyboard_interrupt", "KeyboardInterrupt"),
        ("memory_error", "MemoryError"),
        (
            "message_on_next_line",
            "ImportError: `load_boston` has been removed from scikit-learn since version 1.2.",
        ),
        ("message_of_several_lines", "ValueError: first"),
        ("no_keyboard", "EOFError: EOF when reading a line"),
        ("no_message", "Custom"),
        ("recursion", "RecursionError: maximum recursion depth exceeded"),
        ("registered_model_exists", "mlflow.exceptions.RestException: RESOURCE_ALREADY_EXISTS: "),
        ("run_already_active", "Exception: Run with UUID "),
        ("syntax_error", "SyntaxError: invalid syntax"),
        ("after_a_callback", "ValueError: of the main thread"),
        ("before_a_finalizer", "ValueError: of the main thread"),
        ("before_a_task", "ValueError: of the main thread"),
        ("before_a_thread", "ValueError: of the main thread"),
        ("before_a_thread_coloured_313", "ValueError: of the main thread"),
        ("before_a_thread_warm", "ValueError: of the main thread"),
        ("before_an_exit_handler", "ValueError: of the main thread"),
        ("before_an_exit_handler_coloured_313", "ValueError: of the main thread"),
        ("cause_coloured_313", "ValueError: second"),
        (
            "group_before_a_group_coloured_313",
            "ExceptionGroup: of the main thread (2 sub-exceptions)",
        ),
        ("loguru", "KeyError: 'key'"),
        ("quoted_in_the_message", "RuntimeError: a worker failed:"),
        ("rich_cause", "ValueError: second"),
        ("rich_group", "ExceptionGroup: two of them (2 sub-exceptions)"),
        ("rich_log", "ValueError: the end"),
        ("rich_no_message", "Custom"),
        ("rich_syntax_error", "SyntaxError: invalid syntax"),
        ("rich_wrapped", f"FileNotFoundError: [Errno 2] No such file or directory: {LONG_PATH}"),
        (
            "rich_wrapped_coloured",
            f"FileNotFoundError: [Errno 2] No such file or directory: {LONG_PATH}",
        ),
        ("typer", "KeyError: 'first'"),
        ("untrusted_types", "mlflow.exceptions.MlflowException: The saved sklearn model "),
        ("untrusted_types_in_file", "skops.io.exceptions.UntrustedTypesFoundException: Untrusted "),
    ],
)
def test_the_exception_that_ended_a_real_script(output: str, line: str) -> None:
    found = last_exception_line((OUTPUTS / f"{output}.txt").read_text("utf-8"))
    assert found is not None
    assert found == line or (line.endswith(" ") and found.startswith(line))


@pytest.mark.parametrize(
    "output",
    ["in_a_thread", "in_a_process", "logging_error", "printed_stack", "arguments_required"],
)
def test_a_script_that_no_exception_ended(output: str) -> None:
    assert last_exception_line((OUTPUTS / f"{output}.txt").read_text("utf-8")) is None


def output_of(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


THREAD = """
import threading, time
def work():
    time.sleep(0.1)
    raise KeyError("of a thread")
threading.Thread(target=work).start()
raise ValueError("v")
"""
FINALIZER = """
class Held:
    def __del__(self): raise KeyError("k")
held = Held()
raise ValueError("v")
"""
TASK = """
import asyncio
async def fail(): raise KeyError("k")
async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    raise ValueError("v")
asyncio.run(main())
"""
CAUGHT = """Caught KeyError in DataLoader worker.
Original Traceback (most recent call last):
  File "worker.py", line 3, in loop
    data = rows[0]
KeyError: 0
"""


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("print('text without end', end='', flush=True); 1 / 0", "ZeroDivisionError: "),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("exec('x = = 1')", "SyntaxError: invalid syntax"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("try: 1 / 0\nexcept Exception: raise KeyError('k')", "KeyError: 'k'"),
        ("try: 1 / 0\nexcept Exception as e: raise OSError(2, 'gone') from e", "FileNotFoundError"),
        ("def f(n): return f(n + 1)\nf(0)", "RecursionError: maximum recursion depth exceeded"),
        ("raise ExceptionGroup('two', [ValueError(1), OSError(2)])", "ExceptionGroup: two (2 sub-"),
        (
            "raise ExceptionGroup('a', [ExceptionGroup('b', [ValueError(1)]), OSError(2)])",
            "ExceptionGroup: a (2 sub-",
        ),
        ("def f():\n class Local(Exception): ...\n raise Local(1)\nf()", "f.<locals>.Local: 1"),
        ("raise ValueError('first\\nsecond: x\\n  third')", "ValueError: first"),
        ("raise ValueError('\\nafter a break')", "ValueError: after a break"),
        ("raise ValueError('über: naïve 🐍')", "ValueError: über: naïve 🐍"),
        ("e = ValueError('v'); e.add_note('Note: n'); raise e", "ValueError: v"),
        ("class Größe(Exception): ...\nraise Größe('x')", "Größe: x"),
        ("import warnings; warnings.warn('w: x'); raise ValueError('v')", "ValueError: v"),
        (THREAD, "ValueError: v"),
        ("import atexit; atexit.register(lambda: {}['k']); raise ValueError('v')", "ValueError: v"),
        (FINALIZER, "ValueError: v"),
        (TASK, "ValueError: v"),
        ("from rich.traceback import install; install(); raise ValueError('v')", "ValueError: v"),
        ("import json; json.loads('{')", "json.decoder.JSONDecodeError: Expecting property name"),
    ],
)
def test_an_uncaught_exception_is_found(script: str, line: str) -> None:
    found = last_exception_line(output_of(script))
    assert found is not None
    assert found.removeprefix("__main__.").startswith(line)


@pytest.mark.parametrize(
    "script",
    [
        "print('fine')",
        "import sys; sys.exit('ValueError: not a traceback')",
        "import sys; sys.exit(3)",
        "print('Error: 5\\nLoss: 3\\nValueError: printed')",
        "import os; os._exit(1)",
        "import os; os.kill(os.getpid(), 9)",
        "import faulthandler, os; faulthandler.enable(); os.kill(os.getpid(), 11)",
        "import warnings; warnings.warn('w: x')",
        (
            "import logging, sys\n"
            "def step():\n"
            "    try: 1 / 0\n"
            "    except ZeroDivisionError: logging.exception('going on')\n"
            "step()\n"
            "sys.exit('no data today')"
        ),
        (
            "class Held:\n"
            "    def __del__(self): raise RuntimeError('ignored')\n"
            "held = Held()\n"
            "del held"
        ),
    ],
)
def test_other_ends_have_no_exception_line(script: str) -> None:
    assert last_exception_line(output_of(script)) is None


def test_a_caught_exception_counts_if_printed_last() -> None:
    script = (
        "import logging, sys\n"
        "def main():\n"
        "    try: 1 / 0\n"
        "    except ZeroDivisionError: logging.exception('cannot go on'); sys.exit(1)\n"
        "main()"
    )
    assert last_exception_line(output_of(script)) == "ZeroDivisionError: division by zero"


def test_other_exit_codes_are_not_those_of_exceptions() -> None:
    """An exception that the script caught does not explain the message that it ended with."""
    text = output_of("1 / 0") + "usage: train.py [-h] --data DATA\n"
    assert last_exception_line(text, exit_code=1) is not None
    assert last_exception_line(text, exit_code=2) is None
    assert last_exception_line(output_of("1 / 0"), exit_code=2) is not None


def test_a_workers_traceback_is_part_of_the_message() -> None:
    """As PyTorch's DataLoader raises an exception of a worker again."""
    text = output_of(f"raise RuntimeError({CAUGHT!r})")
    assert last_exception_line(text) == "RuntimeError: Caught KeyError in DataLoader worker."


def test_an_early_traceback_is_not_the_cause() -> None:
    traceback = output_of("1 / 0")
    assert last_exception_line(traceback + "epoch done\n" * 20) is not None
    assert last_exception_line(traceback + "epoch done\n" * 1000) is None


def test_the_last_of_several_tracebacks_counts() -> None:
    text = output_of("1 / 0") + "trying again\n" + output_of("raise ValueError('second')")
    assert last_exception_line(text) == "ValueError: second"


def test_a_traceback_without_its_beginning_is_read() -> None:
    text = output_of("def f():\n  g()\ndef g():\n  1 / 0\nf()")
    assert last_exception_line(text[40:]) == "ZeroDivisionError: division by zero"


def test_a_traceback_without_its_end_gives_nothing() -> None:
    text = output_of("1 / 0").partition("ZeroDivision")[0]
    assert last_exception_line(text) is None


def test_windows_line_endings_and_progress_bars_are_read() -> None:
    text = "\r 50%|##   |\r100%|#####|" + output_of("1 / 0").replace("\n", "\r\n")
    assert last_exception_line(text) == "ZeroDivisionError: division by zero"


def test_long_lines_are_shortened_and_made_printable() -> None:
    long = last_exception_line(output_of("raise ValueError('x' * 100_000)"))
    assert long is not None
    assert len(long) == LONGEST_LINE
    assert long.endswith("x…")
    coloured = last_exception_line(output_of("raise ValueError('\\x1b[31mred\\x07\\x00')"))
    assert coloured == "ValueError: red"


HEADER = "Traceback (most recent call last):\n"
FRAME = '  File "x.py", line 1, in <module>\n'
HOSTILE = {
    "one endless line": "x" * 4_000_000,
    "headers alone": HEADER * 100_000,
    "frames alone": FRAME * 100_000,
    "tracebacks": (HEADER + FRAME + "ValueError: x\n") * 50_000,
    "quotes": '  File "' + '", line 1' * 100_000,
    "digits": '  File "x", line ' + "1" * 1_000_000,
    "colons": HEADER + FRAME + "A" + ".a:" * 1_000_000,
    "dots": HEADER + FRAME + "a." * 1_000_000,
    "margins": ("  | " * 50 + HEADER) * 10_000,
    "blank lines": HEADER + FRAME + "ValueError: x" + "\n" * 1_000_000,
    "terminal codes": "\x1b[" * 1_000_000 + "\x1b]" * 1_000_000 + "\x1b]" + "x" * 1_000_000,
    "carriage returns": "\r" * 2_000_000,
    "rich frames": ("╭─ Traceback (most recent call last) ─╮\n│ x │\n╰──╯\nValueError: x \n")
    * 30_000,
    "wrapped lines": "╭─ Traceback (most recent call last) ─╮\n╰──╯\nValueError: x \n"
    + "x \n" * 500_000,
    "threads": ("Exception in thread x:\n" + HEADER + FRAME + "ValueError: x\n") * 30_000,
    "context": "future: x\n" * 500_000 + HEADER,
    "surrogates": HEADER + FRAME + "ValueError: \ud800\n",
}


def viewed(run_id: str) -> str:
    """The lines that MLflow prints as it ends a run."""
    url = "http://127.0.0.1:5000/#/experiments/1"
    return f"🏃 View run a /runs/ b at: {url}/runs/{run_id}\n🧪 View experiment at: {url}\n"


@pytest.mark.parametrize(
    ("output", "run_ids"),
    [
        (viewed("a" * 32) + HEADER + FRAME + "ValueError: x\n" + viewed("b" * 32), {"b" * 32}),
        (viewed("a" * 32) + HEADER + FRAME + "ValueError: x\n", set()),
        (HEADER + FRAME + "ValueError: x\n", None),
        (viewed("a" * 32) + "no exception\n", None),
    ],
)
def test_runs_named_after_the_exception_ended_at_exit(
    output: str, run_ids: set[str] | None
) -> None:
    assert runs_ended_at_exit(output) == run_ids


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_output_is_read_in_linear_time(name: str) -> None:
    """Measured in CPU seconds: quadratic work on these inputs would take minutes."""
    before = time.process_time()
    found = last_exception_line(HOSTILE[name])
    assert time.process_time() - before < 5
    assert found is None or len(found) <= LONGEST_LINE


PIECES = [
    *("\x1b[1m", "╭─ Traceback (most recent call last) ─╮\n", "│ x │\n", "╰──╯\n", "> "),
    *("Exception in thread T:\n", "Original ", "Call stack:\n"),
    HEADER,
    FRAME,
    "ValueError: x\n",
    "  | ",
    "  + Exception Group ",
    "\n",
    " ",
    "x",
    "\x00",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5)))
def test_any_text_gives_a_printable_line_or_none(pieces: list[str]) -> None:
    found = last_exception_line("".join(pieces))
    assert found is None or (found.isprintable() and 0 < len(found) <= LONGEST_LINE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MemoryError", True),
        ("MemoryError: no more", True),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 11.9 GiB", True),
        ("ValueError: MemoryError", False),
        ("NotAMemoryError: x", False),
        ("MemoryErrorOfMine", False),
    ],
)
def test_memory_errors_are_recognised(line: str, expected: bool) -> None:
    assert is_memory_error(line) is expected
