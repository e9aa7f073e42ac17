"""The `asgard service` command."""

import os
import pwd
import re
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgard_async.cli.data_directory import become_owner
from asgard_async.cli.options import config_option, load_or_exit

if TYPE_CHECKING:
    from asgard_async.config.sections import ServerConfig

UNIT = "asgard.service"
SOCKET_UNIT = "asgard.socket"
SYSTEM_FOLDER = Path("/etc/systemd/system")
SYSTEM_DATA = Path("/var/lib/asgard")


@click.group()
def service() -> None:
    """Install Asgard as a systemd service."""


@service.command()
@config_option
@click.option("--system", is_flag=True, help="Install for the machine, not for the current user.")
@click.option("--data-dir", metavar="DIR", help="Data directory of the service.")
@click.option(
    "--user",
    "user_name",
    metavar="NAME",
    default="asgard",
    show_default=True,
    help="User that the service runs as, with --system.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The directory to write the unit to.",
)
def install(
    file: Path | None, system: bool, data_dir: str | None, user_name: str, folder: Path | None
) -> None:
    """Write the unit file and print how to start the service.

    \b
    Examples:
      asgard service install                    # for the current user
      sudo asgard service install --system      # for the machine, as the user "asgard"
    """
    config = load_or_exit(file, data_dir=data_dir)
    if system and data_dir is None:
        data = SYSTEM_DATA
    else:
        data = config.data_dir
    if not f"{file}{data}{user_name}{sys.executable}".isprintable():
        # a line end would add settings to the unit
        raise click.UsageError("Paths and users in a unit must not contain control characters.")
    unit = render(command=_command(file), data_dir=data, user_name=user_name if system else None)
    target = folder or (SYSTEM_FOLDER if system else _user_folder())
    become_owner(target)
    sockets = render_sockets(_addresses(config.server), config.server.port)
    for path, text in ((target / UNIT, unit), (target / SOCKET_UNIT, sockets)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            changed = not path.exists() or path.read_text() != text
            path.write_text(text)
        except OSError as error:
            raise click.ClickException(
                f"{path} cannot be written: {error.strerror}"
                + (" (with --system this needs root)" if system else "")
            ) from error
        click.echo(f"{'wrote' if changed else 'unchanged:'} {path}")
    for step in _next_steps(system=system, user_name=user_name):
        click.echo(f"  {step}")


def render(*, command: str, data_dir: Path, user_name: str | None) -> str:
    """Return the packaged unit with this installation's paths.

    Without `user_name`, the unit is for systemd's user manager, which does not support the
    settings in the block for the system.
    """
    unit = (resources.files("asgard_async") / "contrib" / UNIT).read_text("utf-8")
    unit = re.sub(r"^ExecStart=.*$", lambda _: f"ExecStart={command}", unit, flags=re.M)
    unit = re.sub(
        r"^ExecStopPost=.*$", lambda _: f"ExecStopPost=-{_after_stop()}", unit, flags=re.M
    )
    data_line = f'Environment="ASGARD_DATA_DIR={_escaped(str(data_dir))}"'
    unit = re.sub(r"^Environment=.*$", lambda _: data_line, unit, flags=re.M)
    if user_name is None:
        unit = re.sub(r"^# --- for the system.*?^# --- end\n", "", unit, flags=re.M | re.S)
        return unit.replace("WantedBy=multi-user.target", "WantedBy=default.target")
    if data_dir != SYSTEM_DATA:
        unit = re.sub(r"^StateDirectory.*\n", "", unit, flags=re.M)
    return re.sub(r"^User=.*$", lambda _: f"User={user_name}", unit, flags=re.M)


def render_sockets(addresses: Sequence[str], port: int) -> str:
    """Return the unit of the sockets that systemd holds for the service."""
    unit = (resources.files("asgard_async") / "contrib" / SOCKET_UNIT).read_text("utf-8")
    hosts = (f"[{address}]" if ":" in address else address for address in addresses)
    lines = "\n".join(f"ListenStream={host}:{port}" for host in hosts)
    return re.sub(r"^ListenStream=.*?(?=\n[^L])", lambda _: lines, unit, flags=re.M | re.S)


def _addresses(server: "ServerConfig") -> Sequence[str]:
    from asgard_async.config import ConfigError
    from asgard_async.supervisor.tcp_listeners import Addresses, is_present

    if server.port == 0:
        raise click.UsageError("systemd needs a port: set [server] port")
    try:
        addresses = Addresses.of(server.host)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    return [*addresses.required, *filter(is_present, addresses.further)]


def _command(file: Path | None) -> str:
    words = [sys.executable, "-m", "asgard_async", "serve"]
    if file is not None:
        words += ["--config", str(file.absolute())]
    return _quoted(words)


def _after_stop() -> str:
    return _quoted([sys.executable, "-m", "asgard_async.supervisor.limits.after_stop"])


def _quoted(words: Sequence[str]) -> str:
    # in a command, unlike in Environment=, $ starts a variable
    return " ".join(f'"{_escaped(word).replace("$", "$$")}"' for word in words)


def _escaped(text: str) -> str:
    """Escape text for double quotes in a unit, where % starts a specifier (systemd.syntax(7))."""
    return re.sub(r'([\\"])', r"\\\1", text).replace("%", "%%")


def _user_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "systemd" / "user"


def _next_steps(*, system: bool, user_name: str) -> list[str]:
    if not system:
        return [
            "systemctl --user daemon-reload && systemctl --user stop asgard",
            "systemctl --user enable --now asgard.socket asgard.service",
            f"loginctl enable-linger {_own_name()}   # keep it running after you log out, as root",
            "journalctl --user -u asgard   # its log",
        ]
    steps = [
        "systemctl daemon-reload && systemctl stop asgard",
        "systemctl enable --now asgard.socket asgard.service",
        "journalctl -u asgard   # its log",
    ]
    try:
        pwd.getpwnam(user_name)
    except KeyError:
        steps.insert(0, f"useradd --system --user-group --home-dir {SYSTEM_DATA} {user_name}")
    return steps


def _own_name() -> str:
    """Return the user's name, which loginctl needs outside of a session, as after `su`."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
