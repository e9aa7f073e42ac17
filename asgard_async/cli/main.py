"""The `asgard` command. Subcommands are imported when called, so that help is fast."""

import importlib

import click

from asgard_async import __version__
from asgard_async.cli.sanitiser import multi_line

COMMANDS = {
    "Trainings": {
        "run": "Run a training and follow it until it ends.",
        "jobs": "List jobs.",
        "show": "Show job details.",
        "logs": "Print a job's log.",
        "get": "Download files that a job left in its working directory.",
        "wait": "Wait for jobs to end, and exit as they did.",
        "cancel": "Cancel queued or running jobs.",
        "retry": "Submit a job again as a new job, with changes if any.",
        "rm": "Delete finished jobs with their logs and files.",
        "models": "List registered models.",
        "status": "Show service and MLflow status.",
    },
    "Service administration (on the service's machine)": {
        "serve": "Run the service in the foreground.",
        "config": "Check the configuration, and show its values.",
        "env": "List, build and prune job environments.",
        "service": "Install Asgard as a systemd service.",
        "token": "Create, list and revoke API tokens.",
        "gc": "Delete expired jobs, files and environments.",
        "backup": "Make a whole backup, also while the service is running.",
        "restore": "Restore a whole backup into an empty directory.",
        "db": "Back up the databases and migrate their schema.",
        "doctor": "Check this installation and suggest fixes.",
    },
}
"""Every command with the first sentence of its help, so that listing them imports nothing."""


class LazyGroup(click.Group):
    """A command group that imports its commands on first use."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; escape control characters in its error, which may quote anything."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = multi_line(error.message)  # type: ignore[misc]  # still the same error
            raise

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
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Set the service's URL with --url or ASGARD_URL, and its token with ASGARD_TOKEN.",
)
@click.version_option(__version__, prog_name="asgard")
def main() -> None:
    """Asgard: a training server for one machine.

    \b
    Get started:
      asgard serve             # in one terminal
      asgard run train.py      # in another
    """


if __name__ == "__main__":
    main()
