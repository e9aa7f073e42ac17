"""GET /health/instance: the handshake by which a client recognises the service."""

from aiohttp import web

from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, querystring_schema, response_schema
from asgard_async.api.schemas.instance import InstanceQuery, InstanceSchema
from asgard_async.api.schemas.problem import refusals
from asgard_async.auth.component import AUTHENTICATOR, INSTANCE
from asgard_async.auth.instance import proof


@docs(
    operation_id="get_instance",
    tags=["service"],
    summary="Identify the service",
    description=(
        "Needs no token, so that a client can make sure that it has reached its service before it"
        " sends one. 'instance' is the id of the data directory. With 'token_id' and 'nonce',"
        " 'proof' is the HMAC-SHA256, in hex, of the lines 'asgard-instance-1', nonce, instance and"
        " address, keyed with the SHA-256 of the token in hex; null if the service does not know"
        " the token."
    ),
    responses=refusals(422, 503),
)
@querystring_schema(InstanceQuery)
@response_schema(InstanceSchema, 200, description="The identity.")
async def get_instance(request: web.Request) -> web.Response:
    """Return the id of the data directory and the proof that the service knows a token."""
    query, instance = request["querystring"], request.app[INSTANCE]
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    address = f"{name[0]} {name[1]}" if isinstance(name, tuple) else ""
    token = request.app[AUTHENTICATOR].find_by_id(query.get("token_id", ""))
    return reply(
        {
            "instance": instance,
            "address": address,
            "proof": None
            if token is None
            else proof(
                token.digest, nonce=query.get("nonce", ""), instance=instance, address=address
            ),
        }
    )
