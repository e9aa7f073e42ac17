"""/docs: the page, and everything it loads, come from the service."""

import re

from tests.support.api_service import problem
from tests.support.app_server import Client


async def test_the_page_loads_only_existing_files(shared_api: Client) -> None:
    response = await shared_api.get("/docs")
    page = await response.text()
    assert response.content_type == "text/html"
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(loaded) == 4
    for address in loaded:
        assert not re.match(r"[a-z]+:|/", address)
        file = await shared_api.get(f"/{address}")
        assert file.status == 200
        kind = {"css": "text/css", "js": "javascript", "png": "image/png"}
        assert kind[address.rpartition(".")[2]] in file.content_type
        assert await file.read()


async def test_the_page_describes_this_service(shared_api: Client) -> None:
    script = await (await shared_api.get("/docs/start.js")).text()
    assert 'url: "openapi.json"' in script
    assert "http" not in script


async def test_swagger_ui_supports_openapi_3_1(shared_api: Client) -> None:
    script = await (await shared_api.get("/docs/swagger-ui-bundle.js")).text()
    version = re.search(r'PACKAGE_VERSION:"v?(\d+)\.(\d+)', script)
    assert version is not None
    assert (int(version[1]), int(version[2])) >= (5, 0)


async def test_the_content_policy_allows_only_this_service(shared_api: Client) -> None:
    response = await shared_api.get("/docs")
    policy = dict(
        part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    for sources in policy.values():
        assert set(sources.split()) <= {"'none'", "'self'", "data:"}
    # the page has no inline scripts or styles, which the policy would block
    page = await response.text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|style=| on\w+=", page) == []


async def test_other_files_of_the_package_are_not_served(shared_api: Client) -> None:
    for name in ("LICENSE", "swagger-ui.js", "..%2f__init__.py", "%2e%2e%2fREADME.md"):
        await problem(await shared_api.get(f"/docs/{name}"), 404)


async def test_a_cached_file_is_not_sent_again(shared_api: Client) -> None:
    first = await shared_api.get("/docs/swagger-ui.css")
    again = await shared_api.get(
        "/docs/swagger-ui.css", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert again.status == 304
