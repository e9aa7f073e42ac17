"""The command as a whole: its help, and that help stays fast."""

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


def subcommands(name: str) -> dict[str, click.Command]:
    """A command, or the commands of a group, by how they are called."""
    command = loaded(name)
    if isinstance(command, click.Group):
        return {f"{name} {sub}": command.commands[sub] for sub in command.commands}
    return {name: command}


@pytest.mark.parametrize("name", NAMES)
def test_the_command_list_repeats_each_commands_summary(name: str) -> None:
    (listed,) = [section[name] for section in COMMANDS.values() if name in section]
    summary = (loaded(name).help or "").partition("\n\n")[0]
    assert summary == listed


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_the_summaries_of_subcommands_in_full(name: str) -> None:
    command = loaded(name)
    if isinstance(command, click.Group):
        help_text = command.get_help(click.Context(command, info_name=name, terminal_width=80))
        assert "..." not in help_text.partition("\nCommands:\n")[2]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_valid_examples(name: str) -> None:
    for called_as, command in subcommands(name).items():
        options = {option for parameter in command.params for option in parameter.opts}
        lines = [
            line for line in (command.help or "").splitlines() if f"asgard {called_as}" in line
        ]
        assert lines, f"no example of {called_as}"
        for line in lines:
            words = re.split(r"[#|()]| -- ", line.partition(f"asgard {called_as}")[2])[0].split()
            assert {word for word in words if word.startswith("-")} <= options, line


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained(name: str) -> None:
    for called_as, command in subcommands(name).items():
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{called_as} {option.name}"


def test_every_client_command_takes_url_and_json() -> None:
    for name in COMMANDS["Trainings"]:
        options = {option for parameter in loaded(name).params for option in parameter.opts}
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
    if not done.stdout:  # as a module, the program has another name
        done = asgard(COMP_WORDS="x ca", COMP_CWORD="1", __M_ASGARD_ASYNC_COMPLETE="bash_complete")
    assert "plain,cancel" in done.stdout
