"""The script that `asgard run` runs: a check of its file, and the choice of an entrypoint."""

import os
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import click

from asgard_async.cli.connection import Failure
from asgard_async.cli.exit_codes import NO_RESULT
from asgard_async.cli.sanitiser import one_line

if TYPE_CHECKING:
    from asgard_async.client.directory_contents import Contents

NOT_TRAININGS = frozenset({"setup.py", "conftest.py", "noxfile.py", "__init__.py"})
ENTRYPOINT_NAMES = ("train.py", "main.py", "__main__.py")
"""Looked for in folders if there is no script at the top."""
MAX_SHOWN = 8


class Kind(NamedTuple):
    """Files of one kind, which people pass instead of a script."""

    suffixes: tuple[str, ...]
    name: str
    advice: str


WITH_ITS_READER = (
    "Put it into a directory with the script that reads it: asgard run DIRECTORY --entrypoint"
    " train.py"
)
NOT_SCRIPTS = (
    Kind((".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx"), "data", WITH_ITS_READER),
    Kind((".yaml", ".yml", ".toml", ".ini", ".cfg"), "a configuration file", WITH_ITS_READER),
    Kind((".txt", ".md"), "text", "Requirements belong to --requirements FILE."),
    Kind(
        (".pkl", ".joblib", ".onnx", ".pt", ".h5", ".keras"),
        "a model",
        "Pass the script that trains it.",
    ),
    Kind((".sh", ".bash", ".ps1", ".bat"), "a shell script", "Pass the Python script it runs."),
    Kind((".r", ".jl", ".scala", ".java", ".cpp", ".c"), "source code", "Asgard runs Python."),
    Kind((".pyc",), "bytecode", "Pass its source, a .py file."),
    Kind((".tar", ".7z", ".rar", ".bz2", ".xz"), "an archive", "Pass the directory, or a .tar.gz."),
    Kind((".whl",), "a package", "Add it with -r, and pass a script that uses it."),
)
"""The kinds of files, by their suffixes in lower case."""


def entrypoint_for(script: Path, entrypoint: str | None) -> "tuple[os.PathLike[str], str | None]":
    """Return what to send, and the file to run in an archive or a directory; None for a script.

    Without `entrypoint`, the only candidate is taken; on a terminal the user chooses among several.

    Raises:
        Failure: the path is not a script, or the entrypoint is missing or superfluous.
    """
    # imported late: help works without it
    from asgard_async.client.directory_contents import Contents
    from asgard_async.client.submission import needs_entrypoint

    if not needs_entrypoint(script):
        if entrypoint is not None:
            raise Failure("--entrypoint is only for an archive or a directory.", NO_RESULT)
        _check_script(script)
        return script, None
    if entrypoint is not None:
        return script, entrypoint
    contents = Contents(script) if script.is_dir() else None  # walked only once
    return contents or script, _chosen(script, contents)


def _check_script(script: Path) -> None:
    for kind in NOT_SCRIPTS:
        if script.suffix.lower() in kind.suffixes:
            raise Failure(
                f"{one_line(script.name)} is {kind.name}, not a Python script. {kind.advice}",
                NO_RESULT,
            )


def _chosen(script: Path, contents: "Contents | None") -> str:
    name = one_line(script.resolve().name or str(script))
    found = candidates(_python_files(script, contents))
    if len(found) == 1:
        return found[0]
    if not found:
        raise Failure(
            f"{name} has no .py file or notebook at its top, nor a train.py or main.py in a folder;"
            " name the file to run with --entrypoint FILE.",
            NO_RESULT,
        )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        listed = one_line(", ".join(found[:MAX_SHOWN]) + ", …" * (len(found) > MAX_SHOWN))
        raise Failure(
            f"{name} has several scripts: {listed}. Name the one to run with --entrypoint FILE.",
            NO_RESULT,
        )
    for number, candidate in enumerate(found, 1):
        click.echo(f"{number:3}  {one_line(candidate)}", err=True)
    number = click.prompt(
        f"Which script of {name} is to run?", type=click.IntRange(1, len(found)), err=True
    )
    return found[number - 1]


def candidates(files: Iterable[str]) -> list[str]:
    """Return the scripts among the Python files of a project that may be its entrypoint."""
    paths = sorted(map(PurePosixPath, files))
    at_the_top = [
        path
        for path in paths
        if len(path.parts) == 1
        and path.name not in NOT_TRAININGS
        and not path.name.startswith("test_")
    ]
    return [
        str(path)
        for path in at_the_top or (path for path in paths if path.name in ENTRYPOINT_NAMES)
    ]


def _python_files(script: Path, contents: "Contents | None") -> list[str]:
    if contents is not None:
        names = [entry.name for entry in contents.scan() if not entry.is_directory]
    else:
        names = _names_in(script)
    names = [name.removeprefix("./") for name in names]
    # a project's notebooks count only if it has no scripts
    return [name for name in names if name.endswith(".py")] or [
        name for name in names if name.endswith(".ipynb")
    ]


def _names_in(archive: Path) -> list[str]:
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                return zipped.namelist()
        with tarfile.open(archive, "r:gz") as tar:
            return [member.name for member in tar if member.isfile()]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise Failure(f"{one_line(os.fspath(archive))}: {error}", NO_RESULT) from error
