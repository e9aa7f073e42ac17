"""The documented constraints of a field never reject a value that the service accepts."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgard_async.api.schemas import models, submission_rules
from asgard_async.api.schemas.fields import Check, json_schema_of, no_nul

CHECKS = [
    submission_rules.file_name,
    submission_rules.model_name,
    submission_rules.variable_name,
    submission_rules.tag_key,
    submission_rules.tag_value,
    submission_rules.idempotency_key,
    models.run_id,
    no_nul,
]
texts = st.text(alphabet=st.sampled_from("aA0_-.:/\\ é\n\x00\x7f"), max_size=6)
names = st.sampled_from(["", ".", "..", "a/../b", "a/b", "mlflow.a", "asgard.", "train.py", "a\n"])


def says(check: Check) -> Callable[[str], bool]:
    keywords = json_schema_of(check)
    # JSON Schema has JavaScript's patterns, whose $ matches only the end of the text
    pattern = keywords.get("pattern", "").replace("$", r"\Z")

    def lets_through(text: str) -> bool:
        return (
            keywords.get("minLength", 0) <= len(text) <= keywords.get("maxLength", len(text))
            and re.search(pattern, text) is not None
        )

    return lets_through


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@given(text=texts | names)
@example(text="")
def test_accepted_values_satisfy_the_schema(check: Check, text: str) -> None:
    if text and check(text) is None:  # Length rejects empty text
        assert says(check)(text)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (submission_rules.file_name, ".hidden"),
        (submission_rules.file_name, "a/b"),
        (submission_rules.file_name, "a\\b"),
        (submission_rules.model_name, "a:b"),
        (submission_rules.model_name, ".."),
        (submission_rules.model_name, " "),
        (submission_rules.variable_name, "1A"),
        (submission_rules.tag_key, "mlflow.user"),
        (submission_rules.tag_key, "a" * 251),
        (submission_rules.tag_value, "a" * 5001),
        (submission_rules.idempotency_key, "a\n"),
        (models.run_id, "../a"),
        (no_nul, "a\0"),
    ],
)
def test_rejected_values_violate_the_schema(check: Check, text: str) -> None:
    assert check(text)
    assert not says(check)(text)
