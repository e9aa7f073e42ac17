"""Whether a browser sent a request in the name of another site."""

from urllib.parse import urlsplit

from aiohttp import web

from asgard_async.api.errors import ForeignOrigin


def refuse_foreign(request: web.Request) -> None:
    """For requests that a page of any site can make a browser send without asking first.

    A form is such a request; JSON is not. Without this, opening a page would be enough to have
    its author's code run here.

    Raises:
        ForeignOrigin: a page of another site sent it.
    """
    site = request.headers.get("Sec-Fetch-Site", "none")
    origins = request.headers.getall("Origin", [])
    try:
        foreign = any(urlsplit(origin).netloc != request.host for origin in origins)
    except ValueError:
        foreign = True
    if foreign or site not in {"same-origin", "none"}:
        raise ForeignOrigin
