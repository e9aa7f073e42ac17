"""Queries are parsed strictly, and their errors are flat."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from yarl import URL

from asgard_async.api.errors import InvalidRequest
from asgard_async.api.http.bodies import IncomingBodies
from asgard_async.api.http.parser import MAX_PARAMETERS, RequestParser, flatten
from asgard_async.api.schemas.job_queries import JobListQuery


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


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("model_name=\udcff", "model_name"),  # aiohttp's parser in Python passes raw bytes
        ("model_name=a&model_name=a", "model_name"),
        ("&".join(f"p{n}=1" for n in range(MAX_PARAMETERS + 1)), "query"),
    ],
)
async def test_an_invalid_query_is_rejected(query: str, name: str) -> None:
    address = URL.build(path="/", query_string=query, encoded=True)
    request = make_mocked_request("GET", "/").clone(rel_url=address)
    parser = RequestParser(IncomingBodies(total_bytes=1, min_rate=1), max_body_bytes=1, seconds=1)
    with pytest.raises(InvalidRequest) as refused:
        await parser.parse(JobListQuery(), request, location="querystring")
    assert refused.value.errors.keys() == {name}
