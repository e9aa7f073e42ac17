"""The gateway: the exception for every kind of response, and for none."""

import asyncio
import logging
import traceback

import pytest
from aiohttp import web

from asgard_async.domain.errors import (
    AsgardError,
    TrackingNotFound,
    TrackingRejected,
    TrackingUnavailable,
)
from asgard_async.mlflow import gateway as gateway_module
from asgard_async.mlflow.address import MlflowAddress
from asgard_async.mlflow.gateway import MlflowGateway
from asgard_async.mlflow.refusals import MlflowInternalError, MlflowRefused, ResponseTooLarge
from tests.support.mlflow_servers import MlflowServer, Relay, serving
from tests.support.mlflow_user import MlflowUser, all_of, fresh
from tests.support.protected_mlflow import ProtectedMlflow
from tests.support.service import free_port

JSON = "application/json"


def open_gateway(uri: str, timeout_seconds: float = 30) -> MlflowGateway:
    address = MlflowAddress.parse(uri, username="ann", password="hush-hush")
    return MlflowGateway(address, timeout_seconds=timeout_seconds, max_response_bytes=100_000)


async def garbage(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\x00\xffgarbage", content_type=JSON)


async def wrong_shape(_: web.Request) -> web.StreamResponse:
    return web.json_response({"experiment": {"experiment_id": ["?"]}})


async def deep(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"x":' * 10_000, content_type=JSON)


async def html_page(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>hush-hush</html>", content_type="text/html")


async def html_404(_: web.Request) -> web.StreamResponse:
    return web.Response(status=404, text="<html></html>", content_type="text/html")


async def bad_gateway(_: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="bad")


async def too_many(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error_code": "REQUEST_LIMIT_EXCEEDED"}, status=429)


async def unauthorized(_: web.Request) -> web.StreamResponse:
    return web.Response(status=401, text="who are you")


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"experiment')
    assert request.transport is not None
    request.transport.abort()
    return response


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("never reached")


@pytest.mark.parametrize(
    ("handler", "timeout_seconds"),
    [
        (garbage, 30),
        (wrong_shape, 30),
        (deep, 30),
        (html_page, 30),
        (html_404, 30),
        (bad_gateway, 30),
        (too_many, 30),
        (unauthorized, 30),
        (cut_off, 30),
        (silent, 0.2),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_foreign_responses_mean_unavailable(
    handler: object, timeout_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(handler) as uri, open_gateway(uri, timeout_seconds) as gateway:  # type: ignore[arg-type]  # each is a Handler
        with pytest.raises(TrackingUnavailable) as caught:
            await gateway.experiment_named("x")
    visible_text = (
        "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    )
    assert "hush" not in visible_text
    assert "Authorization" not in visible_text


async def test_credentials_echoed_by_a_server_are_redacted() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        message = f"hush-hush, or {request.headers['Authorization']}"
        return web.json_response({"error_code": "INTERNAL_ERROR", "message": message}, status=500)

    async with serving(echo) as uri, open_gateway(uri) as gateway:
        with pytest.raises(MlflowInternalError, match=r"\(hidden\), or Basic \(hidden\)$"):
            await gateway.experiment_named("x")


async def test_a_refused_connection_means_unavailable() -> None:
    async with open_gateway(f"http://127.0.0.1:{free_port()}") as gateway:
        with pytest.raises(TrackingUnavailable):
            await gateway.health()


async def test_a_closed_gateway_is_unavailable() -> None:
    gateway = open_gateway(f"http://127.0.0.1:{free_port()}")
    async with gateway:
        pass
    with pytest.raises(TrackingUnavailable):
        await gateway.health()


@pytest.mark.mlflow
async def test_a_hung_server_means_unavailable(mlflow_server: MlflowServer) -> None:
    async with open_gateway(mlflow_server.uri, timeout_seconds=0.3) as gateway:
        with mlflow_server.stopped(), pytest.raises(TrackingUnavailable, match=r"within 0\.3 s"):
            await gateway.health()


async def test_a_failed_request_differs_from_an_outage() -> None:
    async def fail(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"error_code": "INTERNAL_ERROR", "message": "boom\n[SQL: x]"}, status=500
        )

    async with serving(fail) as uri, open_gateway(uri) as gateway:
        with pytest.raises(MlflowInternalError) as caught:
            await gateway.experiment_named("x")
    assert "boom" in str(caught.value)
    assert "SQL" not in str(caught.value)


async def test_the_response_size_is_bounded() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 10_000)

    async with serving(endless) as uri, open_gateway(uri) as gateway:
        with pytest.raises(ResponseTooLarge):
            await gateway.experiment_named("x")


async def test_redirects_are_not_followed() -> None:
    strangers_saw: list[str] = []

    async def stranger(request: web.Request) -> web.StreamResponse:
        strangers_saw.append(request.path)
        return web.json_response({})

    async with serving(stranger) as elsewhere:

        async def redirect(_: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(elsewhere)

        async with serving(redirect) as uri, open_gateway(uri) as gateway:
            with pytest.raises(TrackingUnavailable, match="307"):
                await gateway.experiment_named("x")
    assert strangers_saw == []


@pytest.mark.mlflow
async def test_credentials_are_sent_and_the_shown_address_has_none(relay: Relay) -> None:
    with_userinfo = relay.uri.replace("http://", "http://ann:hush@")
    async with MlflowGateway(MlflowAddress.parse(with_userinfo), timeout_seconds=30) as gateway:
        await gateway.active_experiment_ids()
        assert gateway.public_uri == relay.uri
    address = MlflowAddress.parse(relay.uri, token="t0ken")
    async with MlflowGateway(address, timeout_seconds=30) as gateway:
        await gateway.active_experiment_ids()
    assert relay.authorizations == {"Basic YW5uOmh1c2g=", "Bearer t0ken"}


@pytest.mark.mlflow
async def test_health_of_running_and_failing_servers(relay: Relay, relayed: MlflowGateway) -> None:
    await relayed.health()
    relay.fail("/health", 503)
    with pytest.raises(TrackingUnavailable):
        await relayed.health()


@pytest.mark.mlflow
async def test_unknown_resources_are_not_found(gateway: MlflowGateway) -> None:
    missing = (
        gateway.experiment_named(fresh("none")),
        gateway.get_run("0" * 32),
        gateway.registered_model(fresh("none")),
    )
    for awaitable in missing:
        with pytest.raises(TrackingNotFound):
            await awaitable


@pytest.mark.mlflow
async def test_a_rejection_has_the_first_line_and_code(gateway: MlflowGateway) -> None:
    name = fresh("twice")
    await gateway.create_experiment(name)
    with pytest.raises(MlflowRefused) as caught:
        await gateway.create_experiment(name)
    assert isinstance(caught.value, TrackingRejected)
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"
    assert name in str(caught.value)
    assert "SQL:" not in str(caught.value)


@pytest.mark.parametrize(
    ("username", "hint"),
    [("", "requires credentials"), ("ann", "does not accept Asgard's credentials")],
)
async def test_401_says_what_to_set(username: str, hint: str) -> None:
    async with serving(unauthorized) as uri:
        address = MlflowAddress.parse(uri, username=username, password="hush-hush")
        async with MlflowGateway(address, timeout_seconds=30) as gateway:
            with pytest.raises(TrackingUnavailable, match=hint) as caught:
                await gateway.experiment_named("x")
    assert "[mlflow] username and password, or token" in str(caught.value)


async def test_an_empty_500_says_where_to_look() -> None:
    async def stumble(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="Internal Server Error")

    async with serving(stumble) as uri, open_gateway(uri) as gateway:
        with pytest.raises(MlflowInternalError, match="without a reason; see its own"):
            await gateway.experiment_named("x")


async def test_a_403_from_a_proxy_is_not_a_rejection() -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text="Invalid Host header")

    async with serving(refuse) as uri, open_gateway(uri) as gateway:
        with pytest.raises(TrackingUnavailable, match=r"403.*--allowed-hosts"):
            await gateway.experiment_named("x")


@pytest.mark.mlflow
async def test_forbidden_actions_are_rejected(protected_mlflow: ProtectedMlflow) -> None:
    name = fresh("of-the-admin")
    await protected_mlflow.as_admin("POST", "registered-models/create", {"name": name})
    async with MlflowGateway(protected_mlflow.address(), timeout_seconds=30) as gateway:
        assert (await gateway.registered_model(name)).name == name
        with pytest.raises(MlflowRefused, match="denies Asgard") as caught:
            await gateway.create_model_version(
                name, source="s3://x", run_id="0", model_id=None, description="", tags={}
            )
    assert caught.value.error_code == "PERMISSION_DENIED"


async def test_the_gateway_uses_a_changed_address() -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.host)
        return web.json_response({"experiment": {"experiment_id": "1"}})

    async with serving(answer) as first, serving(answer) as second, open_gateway(first) as gateway:
        await gateway.experiment_named("x")
        gateway.move_to(MlflowAddress.parse(second))
        await gateway.experiment_named("x")
        assert gateway.public_uri == second
    assert [f"http://{host}" for host in seen] == [first, second]


@pytest.mark.mlflow
async def test_all_pages_are_read(
    gateway: MlflowGateway, user: MlflowUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await all_of(*(user.experiment() for _ in range(3)))
    names = [fresh("paged") for _ in range(3)]
    for name in names:
        await gateway.create_registered_model(name)
    monkeypatch.setattr(gateway_module, "PAGE_SIZE", 2)
    ids = await gateway.active_experiment_ids()
    assert set(made) <= set(ids)
    assert len(ids) == len(set(ids))
    models = await gateway.registered_models()
    assert set(names) <= {model.name for model in models}
    assert await gateway.count_registered_models() == len(models)


@pytest.mark.mlflow
async def test_every_gateway_error_is_a_domain_error(
    gateway: MlflowGateway,
) -> None:
    with pytest.raises(AsgardError):
        await gateway.create_experiment("")
