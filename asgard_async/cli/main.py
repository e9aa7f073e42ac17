"""`asgard`: the command and its groups."""

import click

from asgard_async import __version__
from asgard_async.cli.config import config
from asgard_async.cli.db import db
from asgard_async.cli.doctor import doctor
from asgard_async.cli.env import env
from asgard_async.cli.gc import gc
from asgard_async.cli.serve import serve
from asgard_async.cli.service import service
from asgard_async.cli.token import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="asgard")
def main() -> None:
    """Asgard: a training server for one machine."""


main.add_command(serve)
main.add_command(config)
main.add_command(env)
main.add_command(gc)
main.add_command(db)
main.add_command(doctor)
main.add_command(service)
main.add_command(token)

if __name__ == "__main__":
    main()
