"""Request and response schemas (marshmallow), a file per resource."""
