"""Why somebody is not let in."""

from asgard_async.auth.token import Scope
from asgard_async.domain.errors import AsgardError


class NotAuthenticated(AsgardError):
    """The request came without a token, or with one that is not valid (401)."""

    problem_type = "not-authenticated"

    def __init__(self, *, wrong: bool) -> None:
        what = (
            "The token is not valid; it may have been revoked."
            if wrong
            else "This service wants a token."
        )
        super().__init__(
            f"{what} Send one as 'Authorization: Bearer …', or as the password of Basic"
            " authentication; 'asgard token create' makes one where the service runs."
        )


class TooManyFailures(AsgardError):
    """Too many wrong tokens came from one address (429)."""

    problem_type = "too-many-failures"

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__("Too many wrong tokens came from your address; wait before the next.")


class TokensUnreadable(AsgardError):
    """Which tokens there are is not known, so nobody is let in (503)."""

    problem_type = "tokens-unreadable"

    def __init__(self) -> None:
        self.retry_after_seconds = 30
        super().__init__(
            "The service cannot read its tokens (tokens.json), so it lets nobody in; an"
            " administrator has to look: 'asgard doctor' says how to mend it."
        )


class ScopeTooSmall(AsgardError):
    """The token does not allow the request (403)."""

    problem_type = "scope-too-small"

    def __init__(self, name: str, *, has: Scope, needs: Scope) -> None:
        super().__init__(
            f"The token '{name}' has the scope '{has}'; this needs '{needs}'."
            f" 'asgard token create --scope {needs}' makes one that has it."
        )
