"""The OpenAPI document, built from the decorators of the handlers."""
