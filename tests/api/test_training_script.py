"""The script of a job, over HTTP."""

import pytest

from tests.store.conftest import accept, new_job
from tests.support.api_service import store_of
from tests.support.app_server import Client


@pytest.mark.parametrize("name", ["train", 'a"b.py', "über; x=1.py", "a%20b.py"])
async def test_the_script_comes_back_as_it_was_uploaded(api: Client, name: str) -> None:
    script = "# -*- coding: utf-8 -*-\r\nprint('€')\r\n<script>".encode()
    made = await accept(store_of(api), new_job(script, script_name=name))
    response = await api.get(f"/mlops/training/jobs/{made.job_id}/script")
    assert response.status == 200
    assert await response.read() == script
    # a browser must neither run it nor render it
    assert response.content_type == "text/x-python"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"].startswith("attachment")
