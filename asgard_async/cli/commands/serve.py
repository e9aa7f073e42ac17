"""The `asgard serve` command."""

import asyncio
import logging
import os
import shlex
import signal
from pathlib import Path

import click

from asgard_async import __version__
from asgard_async.auth.initial_token import create_initial_token, read_secret
from asgard_async.auth.token_file import TokenFile
from asgard_async.cli.data_directory import become_owner
from asgard_async.cli.options import config_option, load_or_exit
from asgard_async.config import Config, ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.logging import set_up_logging
from asgard_async.mlflow.artifact_store import check_destination

STOP_SECONDS = 1.0
"""Time limit for open requests when the service stops."""

logger = logging.getLogger(__name__)


@click.command()
@config_option
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=int, metavar="N", help="Port to listen on; 0 for any free one.  [default: 8000]"
)
@click.option("--data-dir", metavar="DIR", help="Directory for jobs, logs and the MLflow store.")
@click.option("--drain", is_flag=True, help="Wait for running jobs to end before stopping.")
@click.option(
    "--initial-token",
    is_flag=True,
    help="If the address is not loopback and no token exists, create an administrator's token and"
    " print it once.",
)
@click.option(
    "--initial-token-file",
    type=click.Path(path_type=Path),
    envvar="ASGARD_INITIAL_TOKEN_FILE",
    metavar="FILE",
    help="If no token exists, the token in FILE becomes an administrator's."
    "  [env: ASGARD_INITIAL_TOKEN_FILE]",
)
def serve(
    file: Path | None,
    host: str | None,
    port: int | None,
    data_dir: str | None,
    drain: bool,
    initial_token: bool,
    initial_token_file: Path | None,
) -> None:
    """Run the service in the foreground.

    Stop it with SIGTERM or Ctrl-C. Running jobs continue, and the next start resumes following
    them.

    \b
    Examples:
      asgard serve
      asgard serve --port 8080 --data-dir ./asgard-data
      asgard serve --host 0.0.0.0 --initial-token    # in a container
      ASGARD_MLFLOW__TRACKING_URI=http://127.0.0.1:5000 asgard serve
    """
    _occupy_standard_descriptors()
    config = load_or_exit(file, host=host, port=port, data_dir=data_dir)
    is_root = os.geteuid() == 0
    become_owner(config.data_dir, runs_programs=True)
    try:
        _set_initial_token(config, initial_token_file, may_print=initial_token)
        _refuse_public(config)
        check_destination(config)
        set_up_logging(level=config.logging.level, format=config.logging.format)
        for warning in config.warnings:
            logger.warning("%s", warning)
        if is_root and os.geteuid() != 0:
            logger.info("running as uid %d, who owns %s", os.geteuid(), config.data_dir)
        # only the owner may access the files that the service creates
        os.umask(0o077)
        asyncio.run(_serve(config, drain=drain))
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _occupy_standard_descriptors() -> None:
    """Open /dev/null for standard descriptors that are closed.

    Otherwise, a file or socket of the service could be assigned such a descriptor, and would
    receive everything that libraries print.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _set_initial_token(config: Config, file: Path | None, *, may_print: bool) -> None:
    """Create the first token if that is requested, and print it unless it is in a file."""
    if file is None and not (may_print and not config.server.is_loopback):
        return
    data = DataDirectory(root=config.data_dir)
    if TokenFile(data.tokens).is_closed():
        return  # the file may be gone by now
    secret = None if file is None else read_secret(file)
    new = create_initial_token(TokenFile(data.make().tokens), secret)
    if new is not None and secret is None:
        click.echo(
            "Created an administrator's token. This is the only time that it is shown:\n"
            f"  export ASGARD_TOKEN={new.secret}"
        )


def _refuse_public(config: Config) -> None:
    host, tokens = config.server.host, TokenFile(DataDirectory(root=config.data_dir).tokens)
    if not config.server.is_loopback and not tokens.is_closed():
        raise ConfigError(
            f"[server] host: {host} is not a loopback address, and without tokens anyone who can"
            " connect could run code on this machine. Start with --initial-token, or create a token"
            f" first: asgard token create --data-dir {shlex.quote(str(config.data_dir))}"
            f"{'' if config.data_dir.is_dir() else ' --create'}"
        )


async def _serve(config: Config, *, drain: bool) -> None:
    # imported late, only once the configuration is known to be valid
    from asgard_async.api.http.component import LISTENERS, SYSTEMD_SOCKETS, accept_connections
    from asgard_async.api.http.runner import create_runner
    from asgard_async.api.http.systemd_sockets import sockets_from_systemd
    from asgard_async.app import create_app
    from asgard_async.config.component import START_STATE, StartState
    from asgard_async.jobs.component import drain as drain_app
    from asgard_async.supervisor.subreaper import adopt_orphans

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(number, stop.set)
    adopt_orphans()
    app = create_app(config)
    app[LISTENERS] = []
    app[START_STATE] = start = StartState()
    app[SYSTEMD_SOCKETS] = sockets_from_systemd(os.environ)
    runner = create_runner(app, shutdown_timeout=STOP_SECONDS)
    try:
        await runner.setup()
        urls = await accept_connections(runner)
        start.is_complete = True
        logger.info("asgard %s listens on %s", __version__, " and ".join(urls))
        await stop.wait()
        logger.info("stopping; running jobs continue")
        if drain:
            stop.clear()  # a second signal ends the wait
            await asyncio.wait(
                [
                    asyncio.create_task(drain_app(app), name="drain"),
                    asyncio.create_task(stop.wait(), name="second-signal"),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
    finally:
        # needed even after a failed setup: the database's threads would keep the process alive
        await runner.cleanup()
        # while the loop closes, asyncio's handlers would write to a socket that is already closed
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            if loop.remove_signal_handler(number) and number is not signal.SIGCHLD:
                signal.signal(number, signal.SIG_IGN)
