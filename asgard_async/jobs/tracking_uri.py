"""The MLflow server that a script chooses by itself, found in its source without running it."""

import re

from asgard_async.core.redaction import without_secrets

LONGEST = 200
CHOICE = re.compile(
    rb"^[^#\n]*\b(?:set_tracking_uri\(\s*(?:uri\s*=\s*)?"
    rb"|environ\[['\"]MLFLOW_TRACKING_URI['\"]\]\s*=\s*)"
    rb"[rb]?(['\"])(?P<uri>[^'\"\\\n]{1,%d})\1" % LONGEST,
    re.MULTILINE,
)
"""A literal, outside of comments."""


def own_tracking_uri(script: bytes) -> str | None:
    """Return the last tracking URI that a script sets as a literal, without secrets; else None."""
    last = None
    for last in CHOICE.finditer(script):  # noqa: B007  # only the last one counts
        pass
    if last is None:
        return None
    uri = last["uri"].decode(errors="replace")
    return without_secrets("".join(one if one.isprintable() else " " for one in uri))
