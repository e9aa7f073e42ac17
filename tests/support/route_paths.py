"""Paths of the service's routes with values for their parameters."""

import re

PARAMETER = re.compile(r"\{(\w+)(?::(?:[^{}])*)?\}")
"""A parameter of a route, with or without a pattern for its values."""
VALUES = {"job_id": "0123abcd", "name": "model", "file": "start.js", "path": "train.py"}


def filled(path: str, **values: str) -> str:
    """The path of a request to a route."""
    return PARAMETER.sub(lambda match: (VALUES | values)[match[1]], path)


def filled_with(path: str, value: str) -> str:
    """The path of a request to a route with the same value for all parameters."""
    return PARAMETER.sub(lambda _: value, path)


def canonical(path: str) -> str:
    """The path of a route as aiohttp names it, without the patterns of its parameters."""
    return PARAMETER.sub(r"{\1}", path)
