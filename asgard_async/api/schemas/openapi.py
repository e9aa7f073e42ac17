"""Schema of the OpenAPI document itself."""

from marshmallow import INCLUDE, Schema, fields
from marshmallow.validate import Equal


class OpenApiSchema(Schema):
    """The required members of an OpenAPI document."""

    openapi = fields.String(required=True, validate=Equal("3.1.0"))
    info = fields.Dict(required=True)
    paths = fields.Dict(required=True)
    components = fields.Dict(required=True)

    class Meta:
        unknown = INCLUDE
        example = {
            "openapi": "3.1.0",
            "info": {"title": "Asgard", "version": "0.1.0"},
            "paths": {},
            "components": {},
        }
