"""The log that the tests write and read."""

from pathlib import Path

import pytest

from tests.support.written_logs import JOB


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of the job."""
    (tmp_path / JOB).mkdir()
    return tmp_path / JOB / "job.log"
