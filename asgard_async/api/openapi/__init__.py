"""The API described in OpenAPI, from what the handlers say of themselves."""
