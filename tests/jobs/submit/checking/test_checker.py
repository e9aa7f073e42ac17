"""Checking scripts in real processes: results, hostile input, deadline and restart."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from asgard_async.domain.errors import InvalidSubmission, TooManyChecks
from asgard_async.jobs.submit.checking.checker import ScriptChecker
from tests.support.notebooks import notebook


@pytest.fixture
async def checker() -> AsyncIterator[ScriptChecker]:
    checker = ScriptChecker(deadline_seconds=10, max_waiting=8)
    yield checker
    await checker.close()


async def refusal(checker: ScriptChecker, script: bytes) -> str:
    with pytest.raises(InvalidSubmission) as caught:
        await checker.imports_of(script)
    (message,) = caught.value.errors["script_content"]
    return message


@pytest.mark.parametrize(
    ("script", "imports"),
    [
        (b"", set()),
        (b"print('x')", set()),
        (
            b"import os.path, sklearn.ensemble as e\nfrom mlflow.x import y",
            {"os", "sklearn", "mlflow"},
        ),
        (b"def f():\n  if 1:\n    import torch", {"torch"}),
        (b"from . import x\nfrom .y import z", set()),
        (b"# -*- coding: latin-1 -*-\nprint('\xe9')", set()),
        (b"'\\d'", set()),
        (b"import importlib\nimportlib.import_module('mlflow.sklearn')", {"importlib", "mlflow"}),
    ],
)
async def test_imports_are_found_at_any_depth(
    checker: ScriptChecker, script: bytes, imports: set[str]
) -> None:
    assert await checker.imports_of(script) == frozenset(imports)


async def test_a_large_script_is_compiled_but_not_analysed(checker: ScriptChecker) -> None:
    assert await checker.imports_of(b"import torch\n" + b"x = 1\n" * 50_000) is None


async def test_a_syntax_error_has_line_and_column(checker: ScriptChecker) -> None:
    message = await refusal(checker, b"x = 1\ny = = 2\n")
    assert message == "SyntaxError: invalid syntax (line 2, column 5)"


@pytest.mark.parametrize(
    "script",
    [
        b"\x00",
        b"x = 1\x00",
        b"# coding: nonsense\n",
        b"# coding: ascii\n'\xc3\xa9'",
        b"(" * 10_000,
        b"-" * 500_000 + b"1",
        b"+".join([b"1"] * 200_000),
        b"x" + b".a" * 300_000,
        b"x = " + b"[" * 150 + b"]" * 150 + b"\n" + b"f(" * 5000,
        b"1" * 10_000,
        b" if 1:\n",
        b"return 1",
        b"'\\N{nonsense}'",
        b"def f(a, a): pass",
        b"a\tb\n \tc",
    ],
)
async def test_any_error_of_compile_is_a_rejection(checker: ScriptChecker, script: bytes) -> None:
    assert await refusal(checker, script)


async def test_a_rejection_does_not_affect_the_next_check(checker: ScriptChecker) -> None:
    for _ in range(3):
        await refusal(checker, b"-" * 900_000 + b"1")
        assert await checker.imports_of(b"import os") == frozenset({"os"})


async def test_a_slow_check_times_out() -> None:
    checker = ScriptChecker(deadline_seconds=0.05, max_waiting=8)
    try:
        message = await refusal(checker, b"x = 1\n" * 170_000)
    finally:
        await checker.close()
    assert "could not be compiled in 0.05 s" in message


async def test_only_processor_time_counts() -> None:
    """A process that does not get to run for a while is not the script's fault."""
    checker = ScriptChecker(deadline_seconds=0.2, max_waiting=8)
    try:
        await checker.imports_of(b"import os")
        (process,) = checker._idle
        signal.pidfd_send_signal(process.pidfd, signal.SIGSTOP)
        check = asyncio.create_task(checker.imports_of(b"import sys"))
        done, _ = await asyncio.wait({check}, timeout=0.6)
        assert not done
        signal.pidfd_send_signal(process.pidfd, signal.SIGCONT)
        assert await check == frozenset({"sys"})
    finally:
        await checker.close()


async def test_the_number_of_waiting_checks_is_bounded() -> None:
    checker = ScriptChecker(deadline_seconds=10, max_waiting=4)
    try:
        answers = await asyncio.gather(
            *(checker.imports_of(b"import os", owner="ci") for _ in range(8)),
            return_exceptions=True,
        )
    finally:
        await checker.close()
    # two are checked; four may wait, of which two may belong to one owner
    assert [type(answer) for answer in answers] == [frozenset] * 4 + [TooManyChecks] * 4


async def test_a_killed_process_is_replaced(checker: ScriptChecker) -> None:
    assert await checker.imports_of(b"import os") == frozenset({"os"})
    (process,) = checker._idle
    signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
    await process.reader.read()  # wait until its exit is noticed here
    assert await checker.imports_of(b"import os") == frozenset({"os"})


async def test_closing_leaves_no_process() -> None:
    checker = ScriptChecker(deadline_seconds=10, max_waiting=8)
    await checker.imports_of(b"import os")
    (process,) = checker._idle
    await checker.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(process.pidfd)


async def test_a_hostile_notebook_is_refused_or_searched(checker: ScriptChecker) -> None:
    for cells in (
        b"[" * 100_000,
        b'[1, null, {"cell_type": "code", "source": {"a": 1}}, {"cell_type": "code"}]',
        b'{"a": 1}',
    ):
        with pytest.raises(InvalidSubmission):
            await checker.imports_of(b'{"nbformat": 4, "cells": ' + cells + b"}", is_notebook=True)
    good = notebook("import numpy\n" * 10_000, "from os import path", "x = (")
    assert await checker.imports_of(good, is_notebook=True) == frozenset({"numpy", "os"})
    with pytest.raises(InvalidSubmission, match="submission") as caught:
        await checker.imports_of(good)
    assert "ipynb" in str(caught.value.errors)
