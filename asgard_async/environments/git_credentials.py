"""Credentials in the addresses of git repositories, kept off git's command line.

uv passes an address to git as an argument, and arguments are visible to all users of the machine,
such as other jobs. So git gets the credentials from variables. This module uses only the standard
library.
"""

import base64
import re
from urllib.parse import unquote

ADDRESS = re.compile(r"(git\+)(https?://)([^/@\s]+)@([^/@\s]+)(/[^@#\s]*)?")
"""The scheme, the credentials, the host and the path up to a revision."""


def without_credentials(
    requirements: "list[str]",
) -> "tuple[list[str], dict[str, str]]":
    """Return requirements without the credentials of git, and the variables to pass them to git."""
    headers: dict[str, str] = {}

    def without(match: "re.Match[str]") -> str:
        git, scheme, credentials, host, path = match.groups("")
        user, _, password = credentials.partition(":")
        pair = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
        headers[f"{scheme}{host}{path}"] = f"Authorization: Basic {pair}"
        return f"{git}{scheme}{host}{path}"

    clean = [ADDRESS.sub(without, requirement) for requirement in requirements]
    if not headers:
        return clean, {}
    variables = {"GIT_CONFIG_COUNT": str(len(headers))}
    for number, (address, header) in enumerate(headers.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = f"http.{address}.extraHeader"
        variables[f"GIT_CONFIG_VALUE_{number}"] = header
    return clean, variables
