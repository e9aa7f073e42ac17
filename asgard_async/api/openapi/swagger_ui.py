"""GET /docs: Swagger UI, with all files served by Asgard itself.

The files come from the package flask-swagger-ui, which is not imported. It is the smallest package
with a current Swagger UI and needs only Flask, which MLflow requires anyway.
"""

import importlib.util
from functools import cache
from pathlib import Path

from aiohttp import web

PACKAGE = "flask_swagger_ui"
FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
START = "start.js"

# relative URLs, so that the page works behind a proxy that adds a path prefix
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Asgard: API</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

# a separate file: the policy allows no inline scripts
SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # Swagger UI's style sheet embeds its arrows as data: URLs
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@cache
def directory() -> Path:
    """Return the directory of the package's files."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)
    return Path(spec.origin).parent / "dist"


async def get_page(_: web.Request) -> web.Response:
    """Return the page."""
    return web.Response(
        text=PAGE,
        content_type="text/html",
        headers={
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-cache",
        },
    )


async def get_file(request: web.Request) -> web.StreamResponse:
    """Return a file that the page loads; other files of the package are not served."""
    name = request.match_info["file"]
    headers = {"Cache-Control": "no-cache"}
    if name == START:
        return web.Response(text=SCRIPT, content_type="text/javascript", headers=headers)
    if name not in FILES:
        raise web.HTTPNotFound
    return web.FileResponse(directory() / name, headers=headers)
