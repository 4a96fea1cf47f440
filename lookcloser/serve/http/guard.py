"""What stands before everything else: who may ask, how much they may send, what answers carry."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from base64 import b64decode
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookcloser.serve.http.pages import PAGES
from lookcloser.serve.http.problems import Problem, problem_response
from lookcloser.serve.limits import Access, Limits
from lookcloser.serve.metrics import Metrics

_HEALTH = ("/healthz", "/readyz", "/health")
# What is there for everybody: nothing of a model is in it but names. All else asks for the key.
_OPEN = frozenset({"/openapi.json", *_HEALTH, *PAGES})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]*)(:[0-9]*)?")
_DRAINED = 64 * 2**20  # bytes that are read and dropped, so that a refusal is heard
_DRAIN_SECONDS = 2.0
_TOO_SLOW = 408

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

_HEADERS = tuple((name.encode(), value.encode()) for name, value in HEADERS.items())


@dataclass
class Tide:
    """What all requests share.

    Attributes:
        held: Bytes of bodies in memory.
        ending: Whether the server is about to end: connections are closed after their answer.
    """

    held: int = 0
    ending: bool = False


class Guard:
    """An application behind its bounds; see `Limits` and `Access`.

    Args:
        app: What answers.
        limits: Of bodies.
        access: Who may ask.
        metrics: Told of each request.
    """

    def __init__(self, app: ASGIApp, limits: Limits, access: Access, metrics: Metrics) -> None:
        self.app = app
        self.tide = Tide()
        self._limits = limits
        self._access = access
        self._metrics = metrics
        self._key = None if access.key is None else access.key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, head = time.monotonic(), scope["method"] == "HEAD"
        scope = _plain(scope)
        body = _Body(receive, self._limits, self.tide)
        status = 500
        invited = any(name == b"expect" for name, _ in scope["headers"])  # it waits to be asked

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(message, scope["path"])
                if status >= 400 and status != _TOO_SLOW and not invited:
                    await body.drop()
            elif head:
                message = {**message, "body": b""}
            await send(message)

        try:
            self._check(scope, body)
            await self.app(scope, body.receive, sending)
        except Problem as problem:
            answer = problem_response(
                problem.status_code, problem.detail, problem.headers, scope["path"]
            )
            await answer(scope, body.receive, sending)
        finally:
            body.free()
            self._metrics.held.set(self.tide.held)
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - started)

    def _mark(self, message: Message, path: str) -> None:
        headers = message["headers"]
        given = {name for name, _ in headers}
        cache = b"no-cache" if path in PAGES else b"no-store"
        own = (*_HEADERS, (b"cache-control", cache))
        headers = [*headers, *(header for header in own if header[0] not in given)]
        if (b"allow", b"GET") in headers:
            headers[headers.index((b"allow", b"GET"))] = (b"allow", b"GET, HEAD")
        if self.tide.ending:
            headers = [header for header in headers if header[0] != b"connection"]
            headers.append((b"connection", b"close"))
        message["headers"] = headers

    def _check(self, scope: Scope, body: _Body) -> None:
        """Raise a `Problem` for a request that is not to be answered."""
        headers = Headers(scope=scope)
        host, hosts = headers.get("host"), self._access.hosts
        # Without one it is HTTP/1.0, of a probe: browsers, which can be misled, always give it.
        if hosts is not None and host is not None and _name_of(host) not in hosts:
            raise Problem(421, "This server does not answer to the name in the Host header.")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Problem(403, "Pages of other sites may not ask this server.")
        if scope["path"] not in _OPEN and not self._has_key(headers):
            raise Problem(
                401,
                "Give the server's key in the header Authorization: Bearer KEY.",
                {"WWW-Authenticate": "Bearer"},
            )
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem(415, "A compressed body is not read; send it uncompressed.")
        body.expect(headers.get("content-length", "0"))

    def _has_key(self, headers: Headers) -> bool:
        if self._key is None:
            return True
        return any(hmac.compare_digest(given, self._key) for given in _keys(headers))


class _Body:
    """The body of one request: counted, timed, and dropped where nobody reads it."""

    def __init__(self, receive: Receive, limits: Limits, tide: Tide) -> None:
        self._receive = receive
        self._limits = limits
        self._tide = tide
        self._taken = 0
        self._ended = False
        self._until: float | None = None

    def expect(self, length: str) -> None:
        """Raise a `Problem` for a body that says that it is too large."""
        if length.isdecimal() and int(length) > self._limits.body:
            raise self._too_large()

    async def receive(self) -> Message:
        """See ASGI."""
        if self._ended:  # what comes is that the client has gone
            return await self._receive()
        if self._until is None:
            self._until = time.monotonic() + self._limits.seconds
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError as error:
            raise Problem(
                _TOO_SLOW, f"The body did not come within {self._limits.seconds:g} s."
            ) from error
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        size = len(message.get("body", b""))
        self._taken += size
        self._tide.held += size
        if self._taken > self._limits.body:
            raise self._too_large()
        if self._tide.held > self._limits.held:
            raise Problem(429, "The server is busy; try again in 1 s.", {"Retry-After": "1"})
        return message

    async def drop(self) -> None:
        """Read some of what is left: an answer is lost where a connection closes on unread data."""
        left = _DRAINED
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._ended and left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._ended = not message.get("more_body", False)
        except TimeoutError:
            return

    def free(self) -> None:
        """The body is no longer in memory."""
        self._tide.held -= self._taken
        self._taken = 0

    def _too_large(self) -> Problem:
        return Problem(413, f"A body may have {self._limits.body:,} bytes at most.")


def _plain(scope: Scope) -> Scope:
    """A request as routes know it: HEAD as the GET whose header it wants, an address as a path."""
    path, headers = scope["path"], scope["headers"]
    if path.startswith(("http://", "https://")):  # as proxies are asked; servers have to take it
        host, slash, rest = path.partition("://")[2].partition("/")
        path = f"{slash or '/'}{rest}"
        others = [(name, value) for name, value in headers if name != b"host"]
        headers = [*others, (b"host", host.encode("utf-8", "replace"))]
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "method": method, "path": path, "headers": headers}


def _name_of(host: str) -> str:
    """A Host header without its port, in lower case; "" where it is none."""
    found = _HOST.fullmatch(host.lower())
    return "" if found is None else found[1].rstrip(".")


def _keys(headers: Headers) -> list[bytes]:
    """Whatever is given as a key: a bearer, the password of a basic login, a header of its own."""
    found = [headers.get("x-api-key", "")]
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        found.append(given.strip())
    elif kind.lower() == "basic":
        try:
            found.append(b64decode(given, validate=True).partition(b":")[2].decode("latin-1"))
        except ValueError:  # no base64, or no ASCII
            found.append("")
    return [text.encode("latin-1") for text in found if text]
