"""`asgard`: the command and its groups, each imported when it is called, so that help is quick."""

import importlib

import click

from asgard_async import __version__

COMMANDS = {
    "Trainings": {
        "run": "Train: submit a script, show its log, exit as it does.",
        "jobs": "List jobs.",
        "show": "Show all that is known of a job.",
        "logs": "Print a job's log.",
        "cancel": "Cancel jobs, queued or running.",
        "retry": "Run a job again, as a new one.",
        "rm": "Forget finished jobs with their logs and files.",
        "models": "List registered models.",
        "status": "Show how the service and its MLflow are.",
    },
    "The service, on its machine": {
        "serve": "Run the service until SIGTERM or Ctrl-C.",
        "config": "Look at the configuration.",
        "env": "Look at, build and throw away the environments of jobs.",
        "service": "Run Asgard as a service of systemd.",
        "token": "Make, list and revoke the tokens that let people use the API.",
        "gc": "Throw away jobs, their files and environments that need not be kept.",
        "db": "Back up the databases, or bring their schema up to date.",
        "doctor": "Check this installation, and say how to mend what is wrong.",
    },
}
"""Every command with the first sentence of its help, which is thus known without importing it."""


class LateGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(
            importlib.import_module(f"asgard_async.cli.commands.{cmd_name}"), cmd_name
        )
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl(list(section.items()))


@click.group(
    cls=LateGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Where the service is: --url, or ASGARD_URL; a token for it: ASGARD_TOKEN.",
)
@click.version_option(__version__, prog_name="asgard")
def main() -> None:
    """Asgard: a training server for one machine.

    \b
    Begin with:
      asgard serve             # in one terminal
      asgard run train.py      # in another
    """


if __name__ == "__main__":
    main()
