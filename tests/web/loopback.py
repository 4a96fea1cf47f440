"""A folder on loopback, for tests and benchmarks."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from typing import Any


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each."""

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server whose visitors may leave in the middle of an answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing; who asked sees what did not come."""

    @property
    def address(self) -> str:
        """Where it is found."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


def start_server(folder: Path, handler: type[Quiet] = Quiet) -> Server:
    """Serve a folder, or what a handler answers, in a thread."""
    server = Server(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
