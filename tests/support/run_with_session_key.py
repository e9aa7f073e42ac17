"""Run a command with a secret in its session keyring: `python -m … COMMAND…`.

Exits with NO_KEYRINGS if keyrings are not available to this process.
"""

import ctypes
import os
import sys

from asgard_async.supervisor.shim import linux

NO_KEYRINGS = 77
NAME = "asgard-test-secret"
ADD_KEY = linux.KEYCTL[os.uname().machine] - 2  # they were added together
KEY_SPEC_SESSION_KEYRING = -3


def main() -> None:
    """Execute the command with the secret in a new session keyring."""
    try:
        linux.system_call(linux.KEYCTL[os.uname().machine], linux.KEYCTL_JOIN_SESSION_KEYRING, None)
        secret = b"secret"
        size = ctypes.c_size_t(len(secret))
        linux.system_call(ADD_KEY, b"user", NAME.encode(), secret, size, KEY_SPEC_SESSION_KEYRING)
    except OSError:
        sys.exit(NO_KEYRINGS)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606


if __name__ == "__main__":
    main()
