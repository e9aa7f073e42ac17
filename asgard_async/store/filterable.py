"""The rows of `job_tags`: the tags of a job, and what it was given, by which lists are filtered.

Keys of tags cannot begin with "asgard.", so the keys are distinct.
"""

from collections.abc import Iterator

from asgard_async.domain.job import JobSpec, argument_text

ARGUMENT = "asgard.arg"
VARIABLE = "asgard.environment_var"
"""Only the names of variables are stored: the values are secret."""
PARAMETER = "asgard.param."
"""Prefix of the names of parameters."""


def filterable(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield the key and value of each row."""
    yield from spec.tags.items()
    for argument in dict.fromkeys(spec.args):
        yield ARGUMENT, argument
    for name in spec.environment_vars:
        yield VARIABLE, name
    for name, value in spec.params.items():
        yield PARAMETER + name, argument_text(value)
