"""Every rule of an upload that depends only on its fields."""

import base64
import hashlib
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from asgard_async.api.http.json_body import Value
from asgard_async.api.http.parser import flatten
from asgard_async.api.schemas.script import decode_script
from asgard_async.api.schemas.submission import SubmissionSchema, declared_in, to_submission
from asgard_async.api.schemas.submission_rules import SubmissionLimits
from asgard_async.domain.job import JobSpec, accepted
from asgard_async.domain.requester import Requester
from asgard_async.executors.environment_variables import RESERVED_NAMES

SCRIPT = b"print('hello')\n"
MINIMAL: dict[str, Value] = {
    "script_name": "train.py",
    "script_content": base64.b64encode(SCRIPT).decode(),
    "experiment_name": "churn",
    "model_name": "churn-model",
}

schema = SubmissionSchema()


def load(**changes: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = schema.load(MINIMAL | changes)
    return loaded


def refusal(**changes: Any) -> dict[str, list[str]]:
    """The flattened errors of an upload with these changes; it must be refused."""
    with pytest.raises(ValidationError) as refused:
        load(**changes)
    return flatten(refused.value.messages)


def test_a_minimal_upload_gets_the_defaults() -> None:
    submission = to_submission(load(), requester=Requester(owner="ci"))
    assert submission.script == SCRIPT
    assert submission.spec == JobSpec(
        script_name="train.py",
        experiment_name="churn",
        model_name="churn-model",
        script_sha256=hashlib.sha256(SCRIPT).hexdigest(),
        timeout=300,
    )
    assert submission.idempotency_key is None
    assert submission.requester.owner == "ci"


def test_an_overlong_list_is_rejected_without_its_items() -> None:
    """Half a million items fit into a body; checking each would block the event loop."""
    errors = refusal(requirements=["", 5] * 600)
    assert errors == {"requirements": ["At most 1000 entries; got 1200."]}


def test_the_old_client_is_accepted() -> None:
    """It leaves `.py` off, sends an empty requirements list and paths as tag values."""
    loaded = load(
        script_name="train_model",
        requirements=[],
        environment_vars={},
        timeout=300,
        tags={"data_path": "/data/in/2024.csv", "source": "s3://bucket/a b"},
    )
    assert loaded["script_name"] == "train_model"
    assert loaded["tags"]["data_path"] == "/data/in/2024.csv"


@dataclass(frozen=True, kw_only=True)
class Noted:
    """A record with a text that may be missing, like a `JobSpec` with a new field."""

    note: str | None = dataclass_field(default=None, metadata=accepted("A note.", maximum=4))


def test_an_optional_text_is_accepted_as_declared() -> None:
    schema = Schema.from_dict(declared_in(Noted))()
    assert schema.load({}) == {"note": None}
    assert schema.load({"note": "text"}) == {"note": "text"}
    for value in (*NOT_TEXT, "texts", "\0"):
        with pytest.raises(ValidationError):
            schema.load({"note": value})


@pytest.mark.parametrize("field", MINIMAL)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        schema.load({name: value for name, value in MINIMAL.items() if name != field})
    assert flatten(refused.value.messages) == {field: ["Missing data for required field."]}


def test_an_unknown_field_is_named() -> None:
    assert refusal(scirpt_name="x") == {"scirpt_name": ["Unknown field."]}


NOT_TEXT: list[object] = [None, 5, 5.5, True, [], {}, ["a"]]
NOT_WHOLE: list[object] = [None, "90", 90.0, True, []]
NOT_TEXT_MAP: list[object] = [None, "a", [], [["A", "b"]], 5, {"A": 5}, {"A": None}, {"A": True}]
WRONG_TYPES: dict[str, list[object]] = {
    "script_name": NOT_TEXT,
    "script_content": NOT_TEXT,
    "experiment_name": NOT_TEXT,
    "model_name": NOT_TEXT,
    "idempotency_key": NOT_TEXT,
    "timeout": NOT_WHOLE,
    "priority": NOT_WHOLE,
    "warm": [None, "true", 1, 0, 1.0, [], {}],
    "requirements": [None, "numpy", {}, 5, [5], [None], ["numpy", True]],
    "tags": NOT_TEXT_MAP,
    "environment_vars": NOT_TEXT_MAP,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG_TYPES.items() for value in values],
)
def test_a_wrong_type_is_reported_under_its_field(field: str, value: object) -> None:
    (name,) = refusal(**{field: value})
    assert name.split(".")[0] == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("script_name", ""),
        ("script_name", "a" * 256),
        ("script_name", "é" * 128),
        ("script_name", "a/b.py"),
        ("script_name", "a\\b.py"),
        ("script_name", "a\0.py"),
        ("script_name", "a\n.py"),
        ("script_name", ".hidden.py"),
        ("script_name", ".."),
        ("experiment_name", ""),
        ("experiment_name", "a" * 501),
        ("experiment_name", "a\0b"),
        ("model_name", ""),
        ("model_name", "  "),
        ("model_name", "a/b"),
        ("model_name", "a:b"),
        ("model_name", "."),
        ("model_name", "..a"),
        ("model_name", "a\0b"),
        ("model_name", "a\ud800"),
        ("model_name", "a" * 257),
        ("requirements", ["a" * 501]),
        ("requirements", [""]),
        ("requirements", ["a\0b"]),
        ("requirements", ["numpy"] * 1001),
        ("timeout", 59),
        ("timeout", 3601),
        ("timeout", -1),
        ("timeout", 10**25),
        ("priority", 101),
        ("priority", -101),
        ("idempotency_key", ""),
        ("idempotency_key", "a" * 256),
        ("idempotency_key", "a\nb"),
        ("idempotency_key", "a\0"),
        ("environment_vars", {"A": "x\0y"}),
        ("environment_vars", {"": "x"}),
        ("environment_vars", {"1A": "x"}),
        ("environment_vars", {"A-B": "x"}),
        ("environment_vars", {"A=B": "x"}),
        ("environment_vars", {"A\n": "x"}),
        ("environment_vars", {"É": "x"}),
        ("environment_vars", {f"A{n}": "x" for n in range(101)}),
        ("environment_vars", {"A": "x" * 65536}),
        ("environment_vars", {"ASGARD_JOB_ID": "x"}),
        *(("environment_vars", {name: "x"}) for name in sorted(RESERVED_NAMES)),
        ("tags", {"": "x"}),
        ("tags", {"a" * 251: "x"}),
        ("tags", {"a": "x" * 5001}),
        ("tags", {"a": "x\0"}),
        ("tags", {"mlflow.runName": "x"}),
        ("tags", {"asgard.job_id": "x"}),
        ("tags", {"a\n": "x"}),
        ("tags", {"a#b": "x"}),
        ("tags", {"/a": "x"}),
        ("tags", {"a/../b": "x"}),
        ("tags", {"a//b": "x"}),
        ("tags", {f"a{n}": "x" for n in range(101)}),
        ("tags", {f"a{n}": "x" * 5000 for n in range(20)}),
        ("tags", {f"a{n}": "é" * 5000 for n in range(4)}),
    ],
)
def test_a_broken_rule_is_reported_under_its_field(field: str, value: object) -> None:
    errors = refusal(**{field: value})
    assert {name.partition(".")[0] for name in errors} == {field}
    assert all(message for messages in errors.values() for message in messages)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("script_name", "a" * 255),
        ("script_name", "über uns.py"),
        ("script_name", "-c"),
        ("experiment_name", "a" * 500),
        ("experiment_name", "/Users/me/experiment"),
        ("model_name", "Modell 1.0 für alle"),
        ("model_name", "a" * 256),
        ("requirements", ["numpy"] * 1000),
        ("timeout", 60),
        ("timeout", 3600),
        ("priority", -100),
        ("priority", 100),
        ("idempotency_key", "é" * 255),
        ("environment_vars", {"_A1": "", "b": "ü\n"}),
        ("environment_vars", {"ASGARDIAN": "x", "HOMER": "x"}),
        ("tags", {"a" * 250: "x" * 5000, "b": ""}),
        ("tags", {"data/train set:v1.2-x_y": "a"}),
        ("tags", {"mlflow": "a", "asgardian": "b"}),
        ("warm", False),
    ],
)
def test_valid_values_pass_unchanged(field: str, value: object) -> None:
    assert load(**{field: value})[field] == value


def test_bounds_come_from_the_configuration() -> None:
    narrow = SubmissionSchema(SubmissionLimits(timeout_min=1, timeout_max=5, max_script_bytes=3))
    small = MINIMAL | {"script_content": base64.b64encode(b"1+1").decode()}
    assert narrow.load(small | {"timeout": 5})["timeout"] == 5
    with pytest.raises(ValidationError):
        narrow.load(small | {"timeout": 60})
    with pytest.raises(ValidationError, match="larger than 3 bytes"):
        narrow.load(small | {"script_content": base64.b64encode(b"1+1\n").decode()})


@given(st.binary(min_size=1))
def test_scripts_are_strict_base64_of_utf8(script: bytes) -> None:
    content = base64.b64encode(script).decode()
    try:
        script.decode()
    except UnicodeDecodeError:
        with pytest.raises(ValidationError, match="UTF-8"):
            decode_script(content, 1 << 20)
    else:
        assert decode_script(content, 1 << 20) == script


@pytest.mark.parametrize(
    "content",
    [
        "",
        "=",
        "====",
        "QQ",
        "QQ=",
        "QQ===",
        "QR==",  # bits that belong to no byte
        "QUE=QUE=",
        "QQ==QQ==",
        "Q=Q=",
        "QUJ D",
        "QUJD\n",
        "\nQUJD",
        "QUJ*",
        "_-_-",
        "QUJé",
        "\x00QUJ",
    ],
)
def test_lenient_base64_is_rejected(content: str) -> None:
    with pytest.raises(ValidationError):
        decode_script(content, 1 << 20)


@given(st.text(max_size=40))
def test_any_script_text_is_decoded_or_rejected(content: str) -> None:
    try:
        script = decode_script(content, 1 << 20)
    except ValidationError:
        return
    assert base64.b64encode(script).decode() == content


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = scalars | st.lists(scalars, max_size=5) | st.dictionaries(st.text(), scalars, max_size=5)


@given(st.dictionaries(st.sampled_from([*schema.fields]) | st.text(max_size=9), anything))
def test_any_json_is_loaded_or_rejected(document: dict[str, Value]) -> None:
    try:
        schema.load(document)
    except ValidationError as refused:
        errors = flatten(refused.messages)
        assert errors
        assert all(isinstance(text, str) for messages in errors.values() for text in messages)
