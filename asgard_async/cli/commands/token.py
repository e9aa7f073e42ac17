"""The `asgard token` command. Changes take effect at once, also in a running service."""

import json
from pathlib import Path
from typing import Any

import click

from asgard_async.auth.token import Scope, Token
from asgard_async.auth.token_file import NameTaken, NoSuchToken, TokenFile
from asgard_async.cli.data_directory import open_data_directory
from asgard_async.cli.options import (
    config_option,
    create_option,
    data_dir_option,
    json_option,
)
from asgard_async.cli.sanitiser import one_line
from asgard_async.config import ConfigError
from asgard_async.core.timestamps import now, rfc3339


@click.group()
def token() -> None:
    """Create, list and revoke API tokens.

    Until the first token is created, the API requires none, and the service listens only on the
    loopback interface.
    """


@token.command()
@config_option
@data_dir_option
@create_option
@click.option("--name", metavar="NAME", help="The token's owner or purpose.  [default: its ID]")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    help="read: view only; submit: also submit jobs; admin: everything. If repeated, the highest"
    " applies.  [default: submit]",
)
@json_option
def create(
    file: Path | None,
    data_dir: str | None,
    creates: bool,
    name: str | None,
    scope: tuple[str, ...],
    as_json: bool,
) -> None:
    """Create a token and print it.

    It cannot be shown again, since only its digest is stored.

    \b
    Examples:
      asgard token create --name ci
      export ASGARD_TOKEN=$(asgard token create --name laptop --scope admin)
      asgard token create --name dashboard --scope read
      asgard token create --data-dir /srv/asgard --create   # before the first start
    """
    tokens = _tokens(file, data_dir, creates=creates)
    scopes = [Scope(value) for value in scope] or [Scope.SUBMIT]
    highest = max(scopes, key=list(Scope).index)
    if name is not None and not (name.isprintable() and 0 < len(name) <= 100):
        raise click.UsageError("--name: expected 1 to 100 printable characters.")
    try:
        new = tokens.create(name=name, scope=highest, at=now())
    except NameTaken as error:
        raise click.ClickException(
            f"There is already a token named {name!r}; revoke it or choose another name."
        ) from error
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(_describe(new.token) | {"token": new.secret}))
        return
    # stdout gets only the secret, so that scripts can capture it
    click.echo(f"Token '{new.token.name}', scope '{highest}'. It is shown only once:", err=True)
    click.echo(new.secret)


@token.command("list")
@config_option
@data_dir_option
@json_option
def list_tokens(file: Path | None, data_dir: str | None, as_json: bool) -> None:
    """List the tokens, oldest first, without their secrets.

    \b
    Examples:
      asgard token list
      asgard token list --json
    """
    token_file = _tokens(file, data_dir)
    try:
        tokens, closed = token_file.all(), token_file.is_closed()
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([_describe(token) for token in tokens], indent=2))
        return
    for token in tokens:
        created_at = f"{token.created_at:%Y-%m-%d %H:%M}"
        # the file belongs to the data directory's owner, and root may list it
        click.echo(one_line(f"{token.id}  {token.scope:<6}  {created_at}  {token.name}"))
    if not tokens:
        click.echo(
            "No tokens are left, so every request is refused; create one: asgard token create"
            if closed
            else "No tokens; the API is open to anyone who can connect."
        )


@token.command()
@config_option
@data_dir_option
@click.argument("token_id", metavar="ID|NAME")
def revoke(file: Path | None, data_dir: str | None, token_id: str) -> None:
    """Revoke a token.

    The service refuses it from then on. Revoking the last token does not open the API again.

    \b
    Example:
      asgard token revoke ci
    """
    tokens = _tokens(file, data_dir)
    try:
        revoked = tokens.revoke(token_id)
    except NoSuchToken as error:
        raise click.ClickException(
            f"There is no token {token_id!r}; list them with: asgard token list"
        ) from error
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(one_line(f"Revoked token '{revoked.name}' ({revoked.id})."))
    if not tokens.all():
        click.echo("That was the last token; the API stays closed until you create one.", err=True)


def _tokens(file: Path | None, data_dir: str | None, *, creates: bool | None = None) -> TokenFile:
    _, data = open_data_directory(file, data_dir, creates=creates)
    return TokenFile(data.tokens)


def _describe(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope.value,
        "created_at": rfc3339(token.created_at, "seconds"),
    }
