"""MlflowAddress: credentials and the displayed address are kept apart."""

import base64

import pytest

from asgard_async.mlflow.address import MlflowAddress


def test_the_shown_address_has_no_credentials() -> None:
    address = MlflowAddress.parse("http://ann:s3cr%40t@mlflow.example:5001/base/?x=1#y")
    assert address.public_uri == "http://mlflow.example:5001/base"
    assert (address.username, address.password) == ("ann", "s3cr@t")


def test_explicit_credentials_override_the_address() -> None:
    address = MlflowAddress.parse("http://ann:old@host", username="bob", password="new")
    assert (address.username, address.password) == ("bob", "new")
    bearer = MlflowAddress.parse("http://ann:old@host", token="abc")
    assert bearer.authorization == "Bearer abc"
    assert bearer.username == ""


def test_basic_credentials_are_encoded_as_utf_8() -> None:
    address = MlflowAddress.parse("http://host", username="änn", password="pä:ss")
    assert address.authorization is not None
    kind, _, encoded = address.authorization.partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(encoded).decode() == "änn:pä:ss"


def test_without_credentials_nothing_is_sent() -> None:
    assert MlflowAddress.parse("https://host").authorization is None


@pytest.mark.parametrize("secrets", [{"username": "u", "password": "hush"}, {"token": "hush"}])
def test_repr_shows_no_secret(secrets: dict[str, str]) -> None:
    assert "hush" not in repr(MlflowAddress.parse("http://host", **secrets))
