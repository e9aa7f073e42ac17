"""marshmallow's nested messages in the one form that clients get."""

from typing import Any

import pytest

from asgard_async.api.parser import flatten


@pytest.mark.parametrize(
    ("messages", "flat"),
    [
        ({"a": ["x", "y"]}, {"a": ["x", "y"]}),
        ({"a": "x"}, {"a": ["x"]}),
        ({"requirements": {1: ["x"]}}, {"requirements.1": ["x"]}),
        ({"tags": {"mlflow.x": ["x"]}}, {"tags.mlflow.x": ["x"]}),
        ({"_schema": ["x"]}, {"body": ["x"]}),
        ({"a": {"_schema": ["x"]}}, {"a": ["x"]}),
        (["x"], {"body": ["x"]}),
    ],
)
def test_messages_are_flattened(messages: Any, flat: dict[str, list[str]]) -> None:
    assert flatten(messages) == flat
