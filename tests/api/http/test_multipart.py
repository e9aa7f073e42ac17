"""Scripts uploaded as forms: fields, requirements, limits, malformed bodies."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from asgard_async.config.component import CONFIG
from tests.api.test_training_upload import job_ids
from tests.support.api_service import (
    HELLO,
    cancel,
    finished,
    job,
    problem,
    refused_fields,
    running,
    service_config,
    submit,
)
from tests.support.app_server import Client
from tests.support.service import submission
from tests.support.upload_forms import NAMES, UPLOAD, accepted, form, kept, send

SCRIPT = ("train.py", HELLO.encode())
BOUNDARY = "asgard-boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(disposition: str, content: bytes = b"x", *headers: str) -> bytes:
    lines = [f"--{BOUNDARY}", f"Content-Disposition: {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
WHOLE = b"".join(
    [
        part('form-data; name="script"; filename="train.py"', HELLO.encode()),
        *(part(f'form-data; name="{name}"', value.encode()) for name, value in NAMES.items()),
        END,
    ]
)


async def test_a_script_is_accepted_and_runs(busy_api: Client) -> None:
    made = await accepted(
        busy_api,
        form(
            script=SCRIPT,
            timeout="600",
            priority="-3",
            warm="false",
            tags='{"team": "ü"}',
            environment_vars='{"X": "1"}',
            requirements=["pytest", "aiohttp>=3 ; python_version > '3'"],
            requirements_file=b"\xef\xbb\xbf# ours\r\n\r\n  marshmallow>=4  # strict\r\n",
        ),
    )
    done = await finished(busy_api, made["job_id"])
    assert (done["status"], done["logs"]) == ("completed", "hello\n")
    assert done["script_name"] == "train.py"
    assert done["entrypoint"] is None
    assert (done["timeout"], done["priority"], done["warm"]) == (600, -3, False)
    assert done["tags"] == {"team": "ü"}
    assert done["requirements"] == [
        "pytest",
        "aiohttp>=3 ; python_version > '3'",
        "marshmallow>=4",
    ]
    script = await busy_api.get(f"{made['links']['self']}/script")
    assert await script.text() == HELLO


async def test_script_name_overrides_the_file_name(busy_api: Client) -> None:
    made = await accepted(busy_api, form(script=SCRIPT, script_name="other.py"))
    assert made["script_name"] == "other.py"
    nameless = aiohttp.FormData({"script_name": "x.py", **NAMES}, default_to_multipart=True)
    nameless.add_field("script", HELLO)
    assert (await accepted(busy_api, nameless))["script_name"] == "x.py"


async def test_form_and_json_give_the_same_submission(busy_api: Client) -> None:
    first = await submit(busy_api, idempotency_key="k1")
    for data, headers in [
        (form(script=SCRIPT), {"Idempotency_Key": "k1"}),
        (form(script=SCRIPT, idempotency_key="k1"), {}),
    ]:
        response = await send(busy_api, data, **headers)
        assert response.status == 200
        assert (await response.json())["job_id"] == first["job_id"]
    other = form(script=("train.py", b"print()"), idempotency_key="k1")
    await problem(await send(busy_api, other), 409)
    differing = await send(
        busy_api, form(script=SCRIPT, idempotency_key="k1"), Idempotency_Key="k2"
    )
    assert (await refused_fields(differing)).keys() == {"idempotency_key"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", "3e2"),
        ("timeout", "300.0"),
        ("timeout", " 300"),
        ("timeout", "٣٠٠"),
        ("timeout", "9" * 5000),
        ("timeout", "1"),
        ("priority", "101"),
        ("warm", "True"),
        ("warm", "1"),
        ("tags", "a=b"),
        ("tags", "[]"),
        ("tags", '{"a": 1}'),
        ("tags", '{"a": {"b": "c"}}'),
        ("tags", '{"a": ' * 5000),
        ("tags", '{"mlflow.user": "x"}'),
        ("environment_vars", '{"PATH": "/"}'),
        ("requirements", "-r /etc/hostname"),
        ("requirements", "a\nb"),
        ("model_name", "a/b"),
        ("script_name", "../train.py"),
        ("entrypoint", "train.py"),
        ("script_content", "cHJpbnQoKQ=="),
        ("colour", "red"),
    ],
)
async def test_a_wrong_field_is_422_under_its_name(
    shared_api: Client, field: str, value: str
) -> None:
    data = form(script=SCRIPT, model_name="" if field == "model_name" else "model")
    data.add_field(field, value)
    errors = await refused_fields(await send(shared_api, data))
    (name,) = errors
    assert name.partition(".")[0] == field
    assert not await job_ids(shared_api)


async def test_all_invalid_fields_are_reported_together(shared_api: Client) -> None:
    data = form(script=("train.py", b"\xff"), timeout="x", tags="x", colour="red", model_name="")
    errors = await refused_fields(await send(shared_api, data))
    assert errors.keys() == {"script", "timeout", "tags", "colour", "model_name"}


async def test_duplicate_fields_are_422(shared_api: Client) -> None:
    data = form(script=SCRIPT, model_name=["a", "b"])
    data.add_field("script", b"print(2)", filename="two.py")
    errors = await refused_fields(await send(shared_api, data))
    assert errors == {
        "model_name": ["Must be given only once."],
        "script": ["Must be given only once."],
    }


async def test_a_form_without_a_script_is_422(shared_api: Client) -> None:
    assert (await refused_fields(await send(shared_api, form()))).keys() == {
        "script",
        "script_name",
    }


@pytest.mark.parametrize("script", [b"def broken(:\n", b"", b"\xff", b"#" * 1048577])
async def test_an_invalid_script_part_is_422(shared_api: Client, script: bytes) -> None:
    errors = await refused_fields(await send(shared_api, form(script=("train.py", script))))
    assert errors.keys() == {"script"}


@pytest.mark.parametrize("name", [".hidden.py", "a/b.py", "a\\b.py"])
async def test_a_file_name_must_be_a_valid_script_name(shared_api: Client, name: str) -> None:
    disposition = f'form-data; name="script"; filename="{name}"'.replace("\\", "\\\\")
    body = WHOLE.replace(b'form-data; name="script"; filename="train.py"', disposition.encode())
    errors = await refused_fields(await shared_api.post(UPLOAD, data=body, headers=MULTIPART))
    assert errors.keys() == {"script_name"}


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/hostname",
        "--index-url https://secret@index.example",
        "-e .",
        "secret @ https://index.example/secret.whl",
        "git+https://secret.example/x",
        "./secret",
        "/secret/secret.whl",
        "secret==${SECRET}",
        "secret==1 \\",
        "secret==1 --hash=sha256:abc",
    ],
)
async def test_a_requirements_file_may_hold_only_names(shared_api: Client, line: str) -> None:
    content = f"# comment\nmarshmallow\n{line}\naiohttp\n".encode()
    response = await send(shared_api, form(script=SCRIPT, requirements_file=content))
    (message,) = (await refused_fields(response))["requirements"]
    assert message.startswith("Line 3 ")
    assert "secret" not in (await response.text()).lower().replace("secret, such", "")


MALFORMED_FORMS = {
    "empty": b"",
    "no-boundary": b"nothing",
    "cut-off": WHOLE[: -len(END)],
    "cut-off-in-a-part": WHOLE[:200],
    "cut-off-in-headers": WHOLE[:60],
    "no-disposition": f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END,
    "no-name": part("form-data") + END,
    "strange-disposition": part("form-data; name=") + END,
    "base64": part('form-data; name="a"', b"eA==", "Content-Transfer-Encoding: base64") + END,
    "nested": part('form-data; name="a"', b"x", "Content-Type: multipart/mixed; boundary=b") + END,
    "nested-without-boundary": part('form-data; name="a"', b"x", "Content-Type: multipart/x") + END,
    "long-header": part('form-data; name="a"', b"x", "X: " + "x" * 20_000) + END,
    "many-headers": part('form-data; name="a"', b"x", *["X: x"] * 2000) + END,
    "bad-header": part('form-data; name="a"', b"x", "no colon") + END,
    "long-charset": part('form-data; name="_charset_"', b"x" * 100) + END,
    "charset": part('form-data; name="_charset_"', b"utf-8") + END,
}


@pytest.mark.parametrize("body", [*MALFORMED_FORMS.values()], ids=[*MALFORMED_FORMS])
async def test_malformed_multipart_is_400(shared_api: Client, body: bytes) -> None:
    await problem(await shared_api.post(UPLOAD, data=body, headers=MULTIPART), 400)
    assert not await job_ids(shared_api)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'x' * 71}",
    ],
)
async def test_an_invalid_boundary_is_400(shared_api: Client, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    await problem(await shared_api.post(UPLOAD, data=WHOLE, headers=headers), 400)


async def test_a_hand_written_body_is_accepted(busy_api: Client) -> None:
    """Check the body that the malformed ones are derived from."""
    response = await busy_api.post(UPLOAD, data=b"preamble\r\n" + WHOLE + b"end", headers=MULTIPART)
    assert response.status == 202, await response.text()


async def test_other_multipart_and_compressed_bodies_are_415(shared_api: Client) -> None:
    mixed = {"Content-Type": f"multipart/mixed; boundary={BOUNDARY}"}
    await problem(await shared_api.post(UPLOAD, data=WHOLE, headers=mixed), 415)
    packed = {**MULTIPART, "Content-Encoding": "gzip"}
    await problem(await shared_api.post(UPLOAD, data=WHOLE, headers=packed), 415)


async def test_too_many_parts_are_422(shared_api: Client) -> None:
    data = form(script=SCRIPT, requirements=["x"] * 2101)
    assert await refused_fields(await send(shared_api, data)) == {
        "body": ["Must have at most 2100 parts."]
    }


async def test_at_most_a_thousand_requirements_are_accepted(busy_api: Client) -> None:
    names = [f"aiohttp!=0.{number}" for number in range(1001)]
    for count, status in ((1000, 202), (1001, 422)):
        written = "# all\n\n" + "".join(f"{name}\n" for name in names[:count])
        bodies: list[dict[str, Any]] = [
            {"data": form(script=SCRIPT, requirements_file=written.encode())},
            {"data": form(script=SCRIPT, requirements=names[:count])},
            {"json": submission(HELLO, requirements=names[:count])},
        ]
        for body in bodies:
            response = await busy_api.post(UPLOAD, **body)
            assert response.status == status, await response.text()
            if status == 202:
                # its environment would be expensive
                await cancel(busy_api, (await response.json())["job_id"])
            else:
                errors = await refused_fields(response)
                assert errors == {"requirements": ["At most 1000 entries; got 1001."]}


@pytest.mark.service
async def test_fields_over_the_limit_are_413(tmp_path: Path) -> None:
    config = service_config(
        tmp_path,
        server={"max_body_bytes": 5000},
        jobs={"max_archive_bytes": 10_000, "max_script_bytes": 500},
    )
    async with running(config) as client:
        for data in (
            form(script=("train.py", b"#" * 5001)),
            form(script=SCRIPT, colour="x" * 5001),
            form(script=SCRIPT, requirements=["x" * 1000] * 6),
            form(script=SCRIPT, tags=json.dumps({"a": "x" * 20_000})),
        ):
            await problem(await send(client, data), 413)
        assert (await accepted(client, form(script=SCRIPT)))["status"] == "queued"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://["},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
async def test_a_cross_origin_page_may_not_upload(
    shared_api: Client, headers: dict[str, str]
) -> None:
    await problem(await send(shared_api, form(script=SCRIPT), **headers), 403)
    assert not await job_ids(shared_api)
    assert not kept(shared_api.app[CONFIG].data_dir)


async def test_a_same_origin_page_may_upload(busy_api: Client) -> None:
    origin = str(busy_api.make_url("")).rstrip("/")
    headers = {"Origin": origin, "Sec_Fetch_Site": "same-origin"}
    made = await accepted(busy_api, form(script=SCRIPT), **headers)
    assert (await job(busy_api, made["job_id"]))["script_name"] == "train.py"
