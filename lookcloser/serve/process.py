"""The process: connections with deadlines, and an end that loses no request."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lookcloser.core.errors import LookcloserError
from lookcloser.serve.app import Service
from lookcloser.serve.http.problems import problem_response
from lookcloser.serve.limits import Limits

_KEEP_ALIVE = 15  # seconds between two requests of a connection
_HEADER = 32 * 2**10  # bytes of a request's header
_DRAIN = 0.3  # seconds in which what is on its way still comes in
_BACKLOG = 2048  # connections that wait to be accepted
_OWN_FILES = 48  # open in this process without any connection: the log, libraries, a new model
_STALLED = 30.0  # seconds that a client may leave an answer unread


def run(service: Service, limits: Limits, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then answer what was taken and return.

    Args:
        service: What answers.
        limits: Of connections.
        host: The address to listen at.
        port: 0 takes a free one.
        say: Told the address once requests are taken.

    Raises:
        LookcloserError: For an address that cannot listen there.
    """
    listening = _listen(host, port)
    connections, backlog = _room(limits.connections)
    limits = replace(limits, connections=connections)
    config = uvicorn.Config(
        service,
        http=_protocol(limits),
        ws="none",
        loop="auto",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=True,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(2 * limits.seconds) + 1,
        h11_max_incomplete_event_size=_HEADER,
        backlog=backlog,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong is in the answer
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    address = f"[{host}]" if ":" in host else host
    _Server(config, service, lambda: say(f"http://{address}:{listening.getsockname()[1]}")).run(
        sockets=[listening]
    )


def _room(connections: int) -> tuple[int, int]:
    """How many connections the system has files for, and how many may come in at once.

    Where it has none left, asyncio tries to accept each that waits, and logs each try.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems have a lower bound of their own
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return connections, _BACKLOG
    free = max(2, soft - _OWN_FILES)
    connections = min(connections, free // 2)
    return connections, min(_BACKLOG, free - connections)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except (OSError, OverflowError, ValueError) as error:  # the last: no name of a host
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise LookcloserError(
            f"{host}:{port}: cannot listen there ({reason})",
            fix="Choose another --host or --port",
        ) from error
    return listening


class _Server(uvicorn.Server):
    """Takes in what has arrived before it stops to listen."""

    def __init__(
        self, config: uvicorn.Config, service: Service, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._service = service
        self._tell = started
        self._coming: list[asyncio.Task[object]] = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See `uvicorn.Server`; a terminal that closes is an end like SIGTERM, under nohup none."""
        main = threading.current_thread() is threading.main_thread()
        with super().capture_signals():
            closes = main and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
            if closes:
                signal.signal(signal.SIGHUP, self.handle_exit)
            try:
                yield
            finally:
                if closes:
                    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await super().startup(sockets)
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        # From here on each answer closes its connection. What clients have sent by now, on old
        # connections or new ones, is still taken in; then nobody is listening any more.
        self._service.tide.ending = True
        await asyncio.sleep(_DRAIN)
        for listening in sockets or ():
            self._take_in(listening)
        for server in self.servers:
            server.close()
        await asyncio.sleep(_DRAIN)
        await super().shutdown(sockets)

    def _take_in(self, listening: socket.socket) -> None:
        """The connections that the system has accepted for us; closing would reset them."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # until there is none left
            while True:
                taken, _ = listening.accept()
                taken.setblocking(False)
                coming = loop.connect_accepted_socket(self._connection, taken)
                self._coming.append(loop.create_task(coming))

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn calls it
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP/1.1 whose clients have to come to the point."""

    class Hurried(H11Protocol):
        """A connection with a deadline for each header, and for reading answers."""

        _deadline: asyncio.TimerHandle | None = None
        _stalled: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._hurry()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._relax()
            elif self._deadline is None:
                self._hurry()

        def connection_lost(self, exc: Exception | None) -> None:
            self._relax()
            self.resume_writing()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            self._stalled = self.loop.call_later(_STALLED, self.transport.abort)
            super().pause_writing()

        def resume_writing(self) -> None:
            if self._stalled is not None:
                self._stalled.cancel()
                self._stalled = None
            super().resume_writing()

        def send_400_response(self, msg: str) -> None:
            problem = problem_response(400, "This is not HTTP, or its header is too large.")
            headers = [*problem.raw_headers, (b"connection", b"close")]
            start = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (start, h11.Data(data=bytes(problem.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def _hurry(self) -> None:
            self._deadline = self.loop.call_later(limits.header_seconds, self.transport.abort)

        def _relax(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Hurried
