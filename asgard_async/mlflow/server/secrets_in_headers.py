"""Tokens in Authorization headers."""

import base64
import binascii


def secret_in(authorization: str) -> str:
    """Return the token in a header: a bearer token, or the password of Basic authentication.

    The user name is irrelevant. MLflow's client sends a token as either, browsers as a password.
    """
    scheme, _, credentials = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[2]
