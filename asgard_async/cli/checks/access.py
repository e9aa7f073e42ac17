"""The check of the API's tokens."""

import shlex
from pathlib import Path

from asgard_async.auth.token_file import TokenFile
from asgard_async.cli.checks.finding import Finding, Level
from asgard_async.config import Config, ConfigError
from asgard_async.config.data_directory import DataDirectory


async def access(config: Config, data: DataDirectory) -> Finding:
    """Check that the API requires tokens and that the service can read them."""
    about, tokens = "access", TokenFile(data.tokens)
    try:
        if tokens.is_closed():
            # created by root, for example: the service cannot read it
            if (owner := data.tokens.stat().st_uid) != data.root.stat().st_uid:
                problem = f"{data.tokens} belongs to another user (uid {owner}) than its directory"
                return Finding(about, Level.FAIL, problem, _change_owner(data.tokens))
            return Finding(about, Level.OK, f"requires one of {len(tokens.all())} tokens")
    except (ConfigError, OSError) as error:
        # deleting the file is not a remedy: it would open the API to everyone
        remedy = f"copy {data.tokens.name} from a backup made by 'asgard db backup' to {data.root}"
        if isinstance(error.__cause__, OSError):
            remedy = _change_owner(data.tokens)
        return Finding(about, Level.FAIL, f"{error}; every request is refused", remedy)
    return Finding(
        about,
        Level.WARN,
        f"open to anyone who can connect to {config.server.host}, including jobs",
        "asgard token create",
    )


def _change_owner(file: Path) -> str:
    quoted = shlex.quote(str(file))
    return f"as root: chown {file.parent.stat().st_uid} {quoted} && chmod 600 {quoted}"
