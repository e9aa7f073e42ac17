"""Errors of authentication and authorization."""

from asgard_async.auth.token import Scope
from asgard_async.domain.errors import AsgardError


class NotAuthenticated(AsgardError):
    """The request has no token, or an invalid one (401)."""

    problem_type = "not-authenticated"
    title = "Authentication required"

    def __init__(self, *, wrong: bool) -> None:
        reason = "The token is invalid or revoked." if wrong else "Authentication required."
        super().__init__(
            f"{reason} Send a token as 'Authorization: Bearer …' or as the password of Basic"
            " authentication. To create one, run 'asgard token create' on the service's machine."
        )


class TooManyFailures(AsgardError):
    """Too many invalid tokens from one address (429)."""

    problem_type = "too-many-failures"
    title = "Too many invalid tokens"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__("Too many invalid tokens from your address; wait before trying again.")


class TokensUnreadable(AsgardError):
    """The token file cannot be read, so every request is rejected (503)."""

    problem_type = "tokens-unreadable"
    title = "Tokens cannot be read"

    def __init__(self) -> None:
        self.retry_after_seconds = 30
        super().__init__(
            "The service cannot read its tokens (tokens.json) and rejects all requests. An"
            " administrator must fix it; 'asgard doctor' explains how."
        )


class ScopeTooSmall(AsgardError):
    """The token does not allow the request (403)."""

    problem_type = "scope-too-small"
    title = "Insufficient scope"

    def __init__(self, name: str, *, has: Scope, needs: Scope) -> None:
        super().__init__(
            f"The token '{name}' has the scope '{has}'; this request needs '{needs}'. To create a"
            f" token with it, run 'asgard token create --scope {needs}'."
        )
