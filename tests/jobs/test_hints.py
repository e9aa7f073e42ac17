"""Hints on common failures: for each row of the table, real outputs for which it is true."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgard_async.jobs.failure import plain_text, uncaught_exception
from asgard_async.jobs.hints.facts import ABOUT_GROUPS, facts_about
from asgard_async.jobs.hints.failed_job import FailedJob
from asgard_async.jobs.hints.hint import hint_for, row_for
from asgard_async.jobs.hints.package_names import package_names
from asgard_async.jobs.hints.table import ROWS
from tests.jobs.hint_cases import CASES, SANDBOX, WITHOUT_ADVICE, Case, archive

OUTPUTS = Path(__file__).parent / "outputs"


def failed(output: str, **context: Any) -> FailedJob:
    """A failed job with this output: a lone script, unless the context says otherwise."""
    exit_code = context.get("exit_code", 1)
    exception = uncaught_exception(output, exit_code)
    known: dict[str, Any] = {
        "output": plain_text(output),
        "exception": exception.line if exception else None,
        "traceback": exception.traceback if exception else "",
        "exit_code": exit_code,
        "job_id": "0123abcd",
        "entrypoint": "train.py",
        "files": ("train.py",),
        "experiment_name": "gone",
    }
    return FailedJob(**(known | context))


def failed_with(case: Case) -> FailedJob:
    text = (OUTPUTS / f"{case.output}.txt").read_text("utf-8")
    if case.context.get("build"):
        return FailedJob(build_error=text, requirements=case.context.get("requirements", ()))
    return failed(text, **case.context)


def hint_of(output: str, **context: Any) -> str | None:
    return hint_for(failed(output, **context))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.output}: {case.advice}"[:60])
def test_a_common_failure_gets_advice(case: Case) -> None:
    hint = hint_for(failed_with(case))
    assert hint is not None
    assert case.advice in hint
    assert hint[-1] == "."


def test_every_row_has_a_case() -> None:
    shown = {row_for(failed_with(case)) for case in (*CASES, *WITHOUT_ADVICE)}
    assert [row for row in ROWS if row not in shown] == []


def test_rows_name_only_facts_that_exist() -> None:
    documented = " ".join(add.__doc__ or "" for add in (facts_about, *ABOUT_GROUPS.values()))
    facts = set(re.findall(r"`([\w -]+)`", documented)) | {"SIGBUS", "exit 2"}
    for row in ROWS:
        assert {*row.when, *row.unless} <= facts, row


# --- no advice where none is true ---------------------------------------------------------------


@pytest.mark.parametrize("case", WITHOUT_ADVICE, ids=lambda case: case.output)
def test_other_failures_get_no_advice(case: Case) -> None:
    assert hint_for(failed_with(case)) is None


def test_archives_are_not_told_about_lone_scripts() -> None:
    for case in CASES:
        if not case.context.get("build"):
            hint = hint_for(replace(failed_with(case), is_archive=True)) or ""
            assert "only the script itself" not in hint.lower(), case


def test_only_sandboxes_are_told_about_the_sandbox() -> None:
    for case in CASES:
        for level in ("user", "process", None):
            hint = hint_for(replace(failed_with(case), isolation=level)) or ""
            assert "sandbox" not in hint, case


def test_unknown_files_of_an_archive_give_careful_advice() -> None:
    text = (OUTPUTS / "archive_no_module_src.txt").read_text("utf-8")
    hint = hint_of(text, is_archive=True, files=None, entrypoint="src/train.py")
    assert hint is not None
    assert "or set PYTHONPATH" in hint


def test_no_exception_gives_no_advice() -> None:
    output = "ModuleNotFoundError: No module named 'torch'"
    assert hint_for(FailedJob(output=output, exit_code=1)) is None


# --- names of packages --------------------------------------------------------------------------


def traceback(line: str, statement: str = "import x") -> str:
    return (
        'Traceback (most recent call last):\n  File "train.py", line 1, in <module>\n'
        f"    {statement}\n{line}\n"
    )


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("sklearn", "scikit-learn"),
        ("PIL", "pillow"),
        ("yaml", "PyYAML"),
        ("skimage", "scikit-image"),
        ("dotenv", "python-dotenv"),
        ("attr", "attrs"),
        ("dateutil", "python-dateutil"),
        ("jwt", "PyJWT"),
        ("serial", "pyserial"),
        ("usb", "pyusb"),
        ("OpenSSL", "pyOpenSSL"),
        ("Crypto", "pycryptodome"),
        ("faiss", "faiss-cpu"),
        ("docx", "python-docx"),
        ("cv2", "opencv-python-headless"),
        ("torch", "torch"),
        ("sentence_transformers", "sentence-transformers"),
        ("google.protobuf", "protobuf"),
        ("ruamel.yaml", "ruamel.yaml"),
    ],
)
def test_the_package_of_a_module_is_suggested(module: str, package: str) -> None:
    top = module.partition(".")[0]
    hint = hint_of(traceback(f"ModuleNotFoundError: No module named '{top}'", f"import {module}"))
    assert hint is not None
    assert f'Add "{package}" to' in hint


@pytest.mark.parametrize(
    ("statement", "missing", "package"),
    [
        ("from google.cloud import storage", "google.cloud", "google-cloud-storage"),
        ("from google.cloud import bigquery as bq", "google.cloud", "google-cloud-bigquery"),
        ("import google.cloud.storage as gcs", "google", "google-cloud-storage"),
        ("from google.cloud.storage.blob import Blob", "google", "google-cloud-storage"),
        ("from azure.storage.blob import BlobClient", "azure", "azure-storage-blob"),
        ("import google.generativeai as genai", "google.generativeai", "google-generativeai"),
        ("from mpl_toolkits.basemap import Basemap", "mpl_toolkits.basemap", "basemap"),
    ],
)
def test_namespaces_have_a_package_for_each_part(
    statement: str, missing: str, package: str
) -> None:
    hint = hint_of(traceback(f"ModuleNotFoundError: No module named '{missing}'", statement))
    assert hint is not None
    assert f'Add "{package}" to' in hint


def test_a_namespace_alone_names_no_package() -> None:
    hint = hint_of(traceback("ModuleNotFoundError: No module named 'google'", "import google"))
    assert hint is not None
    assert 'Add "' not in hint


def test_names_of_packages_are_listed_once() -> None:
    names = package_names()
    assert len(names.packages) + len(names.same) > 500
    assert not names.same & names.own
    assert not set(names.packages) & (names.same | names.own | names.elsewhere)
    for module, package in names.packages.items():
        assert package not in {module, module.replace("_", "-")} or "." in module, module


# --- hostile output -----------------------------------------------------------------------------


def test_at_most_a_few_types_are_named() -> None:
    message = (
        "mlflow.exceptions.MlflowException: The saved sklearn model references untrusted types. If"
        " you are sure, set the 'skops_trusted_types' parameter. Root error: Untrusted types found"
        " in the file: [%s]."
    )
    two = hint_of(traceback(message % "'a.B', 'c.D'"))
    assert two is not None
    assert "skops_trusted_types=['a.B', 'c.D'] " in two
    many = hint_of(traceback(message % ", ".join(f"'a.B{n}'" for n in range(40))))
    assert many is not None
    assert "'a.B7', …] " in many


@pytest.mark.parametrize(
    "line",
    [
        "ModuleNotFoundError: No module named '; rm -rf /'",
        "ModuleNotFoundError: No module named '" + "x" * 5000 + "'",
    ],
)
def test_only_harmless_and_short_names_are_quoted(line: str) -> None:
    assert hint_of(traceback(line)) is None


def hostile_lines() -> Iterator[str]:
    path = "`rm -rf /`; $(x) {0} {path!r} \u202e" + "y" * 5000
    yield f"FileNotFoundError: [Errno 2] No such file or directory: '{path}'"
    yield f"FileNotFoundError: [Errno 2] No such file or directory: '{path[:300]}'"
    yield f"PermissionError: [Errno 13] Permission denied: './{path[:300]}'"
    yield "mlflow.exceptions.MlflowException: Cannot set a deleted experiment '{x} `y` $(z)' as"


@pytest.mark.parametrize("line", [*hostile_lines()])
def test_quoted_text_is_harmless(line: str) -> None:
    for context in ({}, archive("x"), SANDBOX):
        hint = hint_of(traceback(line), **context)
        assert hint is None or not re.search("[`$;{}\u202e]", hint.replace("$TMPDIR", ""))


def test_advice_is_bounded_whatever_is_printed() -> None:
    types = ", ".join(f"'{'a' * 199}{n}'" for n in range(1000))
    hint = hint_of(
        f"Untrusted types found in the file: [{types}]\n"
        + traceback("mlflow.exceptions.MlflowException: x references untrusted types").replace(
            "untrusted types", "untrusted types. Set skops_trusted_types"
        )
    )
    assert hint is not None
    assert len(hint) < 4000
