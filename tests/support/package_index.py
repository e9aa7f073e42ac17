"""A package index on the loopback interface, with packages built by tests."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.support.wheels import make_wheel


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if not self.path.startswith("/simple/"):
            super().do_GET()
            return
        project = self.path.split("/")[2].replace("-", "_")
        names = sorted(path.name for path in Path(self.directory).glob(f"{project}-*"))
        page = "".join(f'<a href="../../{name}">{name}</a>\n' for name in names).encode()
        self.send_response(200 if names else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def package_index(directory: Path) -> Iterator[str]:
    """Serve the packages `<name>-<version>…` that are added to `directory`; yield the address.

    They include an empty mlflow of the installed version, which every environment gets.
    """
    directory.mkdir(exist_ok=True)
    make_wheel(directory, "mlflow", "", version=version("mlflow"))
    handler = functools.partial(_Handler, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()
