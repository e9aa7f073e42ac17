"""`asgard token`: who may use the API. Works beside a running service, and counts at once."""

import json
from pathlib import Path
from typing import Any

import click

from asgard_async.auth.token import Scope, Token
from asgard_async.auth.token_file import NameTaken, NoSuchToken, TokenFile
from asgard_async.cli.options import config_option, data_dir_option, json_option, load_or_exit
from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.timestamps import now


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that let people use the API.

    As long as there has never been one, the API is open to whoever reaches it, and the service
    listens on loopback only.
    """


@token.command()
@config_option
@data_dir_option
@click.option("--name", help="Whose it is, or what for.  [default: its id]")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    help="read: look; submit: jobs, too; admin: everything. The highest counts.  [default: submit]",
)
@json_option
def create(
    file: Path | None,
    data_dir: str | None,
    name: str | None,
    scope: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a token and print it. It cannot be shown again: only a digest is kept.

    \b
    Examples:
      asgard token create --name ci
      export ASGARD_TOKEN=$(asgard token create --name laptop --scope admin)
      asgard token create --name dashboard --scope read
    """
    tokens = _tokens(file, data_dir, make=True)
    given = [Scope(one) for one in scope] or [Scope.SUBMIT]
    highest = max(given, key=list(Scope).index)
    if name is not None and not (name.isprintable() and 0 < len(name) <= 100):
        raise click.UsageError("--name: up to 100 printable characters are expected.")
    try:
        new = tokens.create(name=name, scope=highest, at=now())
    except NameTaken as error:
        raise click.ClickException(
            f"there is a token called {name!r} already; revoke it, or choose another name."
        ) from error
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(_describe(new.token) | {"token": new.secret}))
        return
    # the secret alone goes to stdout, to be taken by a script
    click.echo(f"Token '{new.token.name}' with the scope '{highest}'; shown this once:", err=True)
    click.echo(new.secret)


@token.command("list")
@config_option
@data_dir_option
@json_option
def list_tokens(file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """List the tokens, the oldest first; never their secrets."""
    tokens = _tokens(file, data_dir)
    try:
        found, closed = tokens.all(), tokens.is_closed()
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([_describe(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(f"{one.id}  {one.scope:<6}  {one.created_at:%Y-%m-%d %H:%M}  {one.name}")
    if not found:
        click.echo(
            "There are none, and so nobody is let in: 'asgard token create' makes one."
            if closed
            else "There are none: the API is open to whoever reaches it."
        )


@token.command()
@config_option
@data_dir_option
@click.argument("token_id", metavar="ID|NAME")
def revoke(file: Path | None, data_dir: str | None, token_id: str) -> None:
    """Take a token back: it is refused from now on.

    Revoking the last one does not open the API again.

    \b
    Example:
      asgard token revoke ci
    """
    tokens = _tokens(file, data_dir)
    try:
        gone = tokens.revoke(token_id)
    except NoSuchToken as error:
        raise click.ClickException(
            f"there is no token {token_id!r}; 'asgard token list' shows them."
        ) from error
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"revoked '{gone.name}' ({gone.id})")
    if not tokens.all():
        click.echo("No token is left, so nobody is let in until you create one.", err=True)


def _tokens(file: Path | None, data_dir: str | None, *, make: bool = False) -> TokenFile:
    data = DataDirectory(root=load_or_exit(file, data_dir=data_dir).data_dir)
    if make:
        try:
            data.make()
        except ConfigError as error:
            raise click.ClickException(str(error)) from error
    elif not data.root.is_dir():
        raise click.ClickException(f"there is no data directory {data.root}; see --data-dir")
    return TokenFile(data.tokens)


def _describe(one: Token) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "scope": one.scope.value,
        "created_at": one.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
