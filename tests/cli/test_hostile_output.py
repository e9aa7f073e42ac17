"""Commands print text that others control: the owner of a directory, a build, the service.

A terminal would interpret control characters in it.
"""

import json
from pathlib import Path

import pytest

from asgard_async.cli.commands import env
from asgard_async.cli.main import main
from asgard_async.cli.output import print_json
from asgard_async.environments.builder import BuildFailed
from tests.support.preloaded_command import asgard

ESCAPES = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"
ESCAPED = "\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\u202e"


def printed(*arguments: str | Path) -> str:
    done = asgard(*arguments)
    output = done.stdout + done.stderr
    assert all(character.isprintable() or character == "\n" for character in output), output
    return output


def test_requirements_of_environments_are_escaped(tmp_path: Path) -> None:
    environment = tmp_path / "environments" / ("a" * 20)
    environment.mkdir(parents=True)
    (environment / "lock").touch(mode=0o600)
    (environment / "requirements.txt").write_text(f"idna{ESCAPES}\n")
    assert f"idna{ESCAPED}" in printed("env", "list", "--data-dir", tmp_path)


def test_names_of_tokens_are_escaped(tmp_path: Path) -> None:
    assert asgard("token", "create", "--name", "ci", "--data-dir", tmp_path).returncode == 0
    file = tmp_path / "tokens.json"
    file.write_text(file.read_text().replace('"ci"', json.dumps(f"ci{ESCAPES}")))
    output = printed("token", "list", "--data-dir", tmp_path)
    assert f"ci{ESCAPED}" in output
    assert f"ci{ESCAPED}" in printed("token", "revoke", output[:8], "--data-dir", tmp_path)


def test_paths_in_findings_and_errors_are_escaped(tmp_path: Path) -> None:
    data_dir = tmp_path / f"data{ESCAPES}"
    assert f"data{ESCAPED}" in printed("doctor", "--data-dir", data_dir)
    for command in (("db", "migrate"), ("gc",), ("token", "list")):
        output = printed(*command, "--data-dir", data_dir)
        assert output.startswith("Data directory: ")
        assert "\nError: " in output
        assert f"data{ESCAPED}" in output


def test_the_output_of_a_failed_build_is_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise BuildFailed(f"error: the build failed\n{ESCAPES}")

    monkeypatch.setattr(env, "_build", fail)
    with pytest.raises(SystemExit):
        main.main(["env", "build", "-r", "idna", "--data-dir", str(tmp_path)])
    assert capsys.readouterr().err.endswith(f"Error: error: the build failed\n{ESCAPED}\n")


def test_json_is_free_of_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"error": f"ü{ESCAPES}\x7f\u2028"}
    print_json(document)
    printed_text = capsys.readouterr().out
    assert json.loads(printed_text) == document
    assert "ü" in printed_text
    assert all(character.isprintable() or character == "\n" for character in printed_text)
