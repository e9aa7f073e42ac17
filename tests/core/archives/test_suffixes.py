"""Suffixes of archives: one list in the service, and a copy in the client."""

import pytest

from asgard_async.client.submission import ARCHIVES
from asgard_async.core.archives.suffixes import SUFFIXES, accepted_suffix


@pytest.mark.parametrize(
    ("file_name", "suffix"),
    [
        ("a.zip", ".zip"),
        ("A.ZIP", ".zip"),
        ("a.tar.gz", ".tar.gz"),
        ("a.b.TGZ", ".tgz"),
        ("a.tar", None),
        ("a.gz", None),
        ("zip", None),
        ("", None),
    ],
)
def test_the_suffix_of_a_file_name(file_name: str, suffix: str | None) -> None:
    assert accepted_suffix(file_name) == suffix


def test_the_client_accepts_the_same_suffixes() -> None:
    """It imports nothing of the service, so it has its own list."""
    assert set(ARCHIVES) == SUFFIXES.keys()
