"""The script that `asgard run` chooses in a directory or an archive."""

import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest

from asgard_async.cli.entrypoint import candidates, entrypoint_for
from asgard_async.client.directory import write_archive
from asgard_async.client.directory_contents import Contents
from asgard_async.client.submission import upload_of
from tests.support.preloaded_command import asgard
from tests.support.service import Service
from tests.support.terminal import in_terminal


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["train.py", "setup.py", "test_it.py", "pkg/main.py"], ["train.py"]),
        (["b.py", "a.py"], ["a.py", "b.py"]),
        (["src/train.py", "src/model.py"], ["src/train.py"]),
        (["a/main.py", "b/train.py", "setup.py"], ["a/main.py", "b/train.py"]),
        (["pkg/model.py"], []),
        ([], []),
    ],
)
def test_candidates(files: Sequence[str], expected: Sequence[str]) -> None:
    assert candidates(files) == expected


def project(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"print('this is {name}')")
    return directory


@pytest.mark.service
@pytest.mark.parametrize("form", ["directory", "zip", "tar.gz"])
async def test_the_only_script_is_run(shared: Service, tmp_path: Path, form: str) -> None:
    directory = project(tmp_path / "project", "src/train.py", "src/model.py", ".hidden/main.py")
    upload = directory if form == "directory" else tmp_path / f"a.{form}"
    if form == "zip":
        with zipfile.ZipFile(upload, "w") as zipped:
            zipped.write(directory / "src/train.py", "src/train.py")
    elif form == "tar.gz":
        with tarfile.open(upload, "w:gz") as tar:
            tar.add(directory / "src", "./src")
    done = asgard("run", upload, ASGARD_URL=shared.url)
    assert (done.returncode, done.stdout) == (0, "this is src/train.py\n"), done.stderr
    assert "asgard: Running src/train.py." in done.stderr


def test_a_directory_is_walked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = project(tmp_path / "project", "train.py", "data/rows.csv", "data/.hidden")
    walked: list[Path] = []
    iterdir = Path.iterdir

    def counted(path: Path) -> Iterator[Path]:
        walked.append(path)
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", counted)
    upload, chosen = entrypoint_for(directory, None)
    assert chosen == "train.py"
    with upload_of(upload, None, script_name=None, entrypoint=chosen, fields={}) as (body, _):
        assert callable(body)
    assert sorted(walked) == [directory, directory / "data"]
    packed = BytesIO()
    assert isinstance(upload, Contents)
    write_archive(upload, packed)
    with tarfile.open(fileobj=BytesIO(packed.getvalue())) as tar:
        assert tar.getnames() == ["data", "data/rows.csv", "train.py"]


def test_several_scripts_are_named(tmp_path: Path) -> None:
    directory = project(tmp_path / "project", *(f"{letter}.py" for letter in "abcdefghij"))
    done = asgard("run", directory)
    assert done.returncode == 125
    assert "project has several scripts: a.py, b.py" in done.stderr
    assert "h.py, …. Name the one to run with --entrypoint FILE." in done.stderr


def test_a_directory_without_scripts_is_refused(tmp_path: Path) -> None:
    done = asgard("run", project(tmp_path / "project", "pkg/model.py"))
    assert done.returncode == 125
    assert (
        "project has no .py file or notebook at its top, nor a train.py or main.py" in done.stderr
    )


@pytest.mark.service
async def test_a_terminal_asks_for_one_of_several(shared: Service, tmp_path: Path) -> None:
    directory = project(tmp_path / "project", "a.py", "b.py")
    with in_terminal("run", directory, ASGARD_URL=shared.url) as terminal:
        await terminal.shows("Which script of project is to run?")
        terminal.type("2\n")
        await terminal.shows("this is b.py")
        assert await terminal.ended() == 0
