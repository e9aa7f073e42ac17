"""The command as a whole: help, and that it costs nothing."""

import re
import subprocess
import sys

import click
import pytest

from asgard_async.cli.main import COMMANDS, main
from tests.support.asgard_command import asgard

NAMES = [name for section in COMMANDS.values() for name in section]


def loaded(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", NAMES)
def test_the_command_list_repeats_each_commands_summary(name: str) -> None:
    (told,) = [section[name] for section in COMMANDS.values() if name in section]
    help_text = (loaded(name).help or "").replace("\n", " ")
    assert help_text.startswith(told)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_valid_examples(name: str) -> None:
    top = loaded(name)
    commands = list(top.commands.values()) if isinstance(top, click.Group) else [top]
    options = {option for one in commands for entry in one.params for option in entry.opts}
    text = "".join(one.help or "" for one in commands)
    lines = [line for line in text.splitlines() if f"asgard {name}" in line]
    assert lines, "no example"
    for line in lines:
        words = re.split(r"[#|()]", line.partition(f"asgard {name}")[2])[0].split()
        assert {word for word in words if word.startswith("-")} <= options, line


def test_every_client_command_takes_url_and_json() -> None:
    for name in COMMANDS["Trainings"]:
        options = {option for entry in loaded(name).params for option in entry.opts}
        assert {"--url", "--json"} <= options, name


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["jobs", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom asgard_async.cli.main import main\n"
        f"try: main({arguments})\n"
        "except SystemExit: print('MODULES', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    modules = done.stdout.partition("MODULES")[2].split()
    assert "click" in modules
    assert {"aiohttp", "rich", "msgspec", "asgard_async.client", "asgard_async.config"}.isdisjoint(
        modules
    )


def test_an_unknown_command_is_a_usage_error() -> None:
    done = asgard("fly")
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr


def test_commands_and_options_are_completed() -> None:
    done = asgard(COMP_WORDS="asgard ca", COMP_CWORD="1", _ASGARD_COMPLETE="bash_complete")
    if not done.stdout:  # started as a module it goes by another name
        done = asgard(COMP_WORDS="x ca", COMP_CWORD="1", __M_ASGARD_ASYNC_COMPLETE="bash_complete")
    assert "plain,cancel" in done.stdout
