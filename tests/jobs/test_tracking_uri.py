"""The tracking server that a script chooses, found without running it."""

import pytest

from asgard_async.jobs.tracking_uri import own_tracking_uri


@pytest.mark.parametrize(
    ("script", "uri"),
    [
        ('mlflow.set_tracking_uri("sqlite:///mine.db")', "sqlite:///mine.db"),
        ("if x:\n    set_tracking_uri(uri='mlruns')", "mlruns"),
        ("mlflow.set_tracking_uri(\n    'first')\nmlflow.set_tracking_uri('last')", "last"),
        ("os.environ['MLFLOW_TRACKING_URI'] = 'http://other:5000'", "http://other:5000"),
        ("mlflow.set_tracking_uri('http://me:secret@host')", "http://…@host"),
        ("# mlflow.set_tracking_uri('old')", None),
        ("mlflow.set_tracking_uri(uri)", None),
        ("print('hello')", None),
    ],
)
def test_the_last_literal_is_the_scripts_server(script: str, uri: str | None) -> None:
    assert own_tracking_uri(script.encode()) == uri
