"""Credentials of git repositories go to git by variables, which other users cannot see."""

import base64

import pytest

from asgard_async.environments.git_credentials import without_credentials


@pytest.mark.parametrize(
    ("requirement", "clean", "key", "pair"),
    [
        (
            "x @ git+https://ann:s%40cret@host.example:8443/a/x.git@v1#subdirectory=y",
            "x @ git+https://host.example:8443/a/x.git@v1#subdirectory=y",
            "http.https://host.example:8443/a/x.git.extraHeader",
            b"ann:s@cret",
        ),
        (
            "git+http://token@host.example/x",
            "git+http://host.example/x",
            "http.http://host.example/x.extraHeader",
            b"token:",
        ),
    ],
)
def test_credentials_become_a_header(requirement: str, clean: str, key: str, pair: bytes) -> None:
    header = f"Authorization: Basic {base64.b64encode(pair).decode()}"
    assert without_credentials(["plain", requirement]) == (
        ["plain", clean],
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": key, "GIT_CONFIG_VALUE_0": header},
    )


@pytest.mark.parametrize(
    "requirement",
    [
        "x>=1",
        "x @ https://ann:secret@host.example/x.tar.gz",
        "x @ git+ssh://git@host.example/x.git",
        "x @ git+https://host.example/x@v1",
        "x @ git+https://host.example/a@b/x",
    ],
)
def test_other_requirements_stay_as_they_are(requirement: str) -> None:
    assert without_credentials([requirement]) == ([requirement], {})
