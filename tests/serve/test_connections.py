"""The process in a thread of this one: addresses, deadlines of connections, and the end."""

import http.client
import json
import re
import resource
import signal
import socket
import threading
from contextlib import closing, suppress

import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.serve import process
from lookcloser.serve.http.problems import json_response
from lookcloser.serve.limits import Limits

LARGE = bytes(64 * 2**20)  # more than the system holds for a client that does not read


class Service:
    """What answers: quickly, with much, or once it is told to."""

    def __init__(self):
        self.tide = type("Tide", (), {"ending": False})()
        self.begun, self.go = threading.Event(), threading.Event()
        self.left = threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        if scope["path"] == "/held":
            self.begun.set()
            await process.asyncio.to_thread(self.go.wait, 20)
        answer = json_response({"ending": self.tide.ending})
        if scope["path"] == "/large":
            answer.body = LARGE
            answer.headers["content-length"] = str(len(LARGE))
        try:
            await answer(scope, receive, send)
        finally:
            if scope["path"] == "/large":
                self.left.set()


class Server:
    """`process.run` on a free port."""

    def __init__(self, monkeypatch, limits, host):
        real, started, self.said = process._Server, threading.Event(), []

        class Kept(real):
            def __init__(kept, *given):  # noqa: N805 - the other self is needed
                super().__init__(*given)
                self.own = kept

        monkeypatch.setattr(process, "_Server", Kept)
        monkeypatch.setattr(process, "_DRAIN", 0.02)
        self.service = Service()

        def say(address):
            self.said.append(address)
            started.set()

        given = (self.service, limits, host, 0, say)
        self.thread = threading.Thread(target=process.run, args=given)
        self.thread.start()
        assert started.wait(20)
        self.address = (host, int(self.said[0].rpartition(":")[2]))

    def connected(self):
        return socket.create_connection(self.address, timeout=20)

    def asked(self):
        return closing(http.client.HTTPConnection(*self.address, timeout=20))

    def end(self):
        self.own.should_exit = True

    def close(self):
        self.service.go.set()
        self.end()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def start(monkeypatch):
    servers = []

    def make(host="127.0.0.1", **limits):
        servers.append(Server(monkeypatch, Limits(**limits), host))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def get(connection, path="/"):
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer, answer.read()


def everything(connection):
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def test_connections_stay_open_and_name_no_software(start):
    with start().asked() as connection:
        for _ in range(3):
            answer, content = get(connection)
            assert json.loads(content) == {"ending": False}
            assert answer.getheader("server") is None
            assert answer.getheader("date")
            assert connection.sock is not None


def test_more_connections_than_are_allowed_are_closed(start):
    server = start(connections=2)
    with server.asked() as first, server.asked() as second:
        assert get(first)[0].status == get(second)[0].status == 200
        with server.connected() as third:
            assert_closed(third, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert get(first)[0].status == 200
    with server.asked() as later:
        for _ in range(200):  # until the others are gone
            try:
                assert get(later)[0].status == 200
                break
            except (OSError, http.client.HTTPException):
                later.close()
        else:
            raise AssertionError("no connection after the others have gone")


def assert_closed(connection, sent=b""):
    with suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(sent)
        assert everything(connection) == b""


def test_a_header_has_a_deadline_and_an_answer_has_none(start):
    server = start(header_seconds=0.2)
    with server.connected() as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        assert_closed(slow)
    with server.asked() as held:
        held.request("GET", "/held")
        assert server.service.begun.wait(20)
        with server.connected() as slow:  # its deadline comes later than one of the answer would
            assert_closed(slow)
        server.service.go.set()
        assert held.getresponse().status == 200


def test_a_client_that_does_not_read_its_answer_is_left(start, monkeypatch):
    monkeypatch.setattr(process, "_STALLED", 0.1)
    server = start()
    with server.connected() as unread:
        unread.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.service.left.wait(20)
    with server.asked() as other:
        assert get(other)[0].status == 200


def test_a_client_that_reads_slowly_gets_all_of_it(start, monkeypatch):
    monkeypatch.setattr(process, "_STALLED", 20.0)
    server = start()
    with server.asked() as slow:
        answer, content = get(slow, "/large")
        assert len(content) == int(answer.getheader("content-length")) == len(LARGE)


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["no HTTP", "a large header", "no length", "odd signs", "no host"],
)
def test_what_is_no_request_is_a_problem_and_ends_the_connection(start, sent):
    with start().connected() as odd:
        odd.sendall(sent)
        head, _, body = everything(odd).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    assert json.loads(body)["detail"] == "This is not HTTP, or its header is too large."


def test_the_end_answers_what_was_taken_and_what_has_arrived(start):
    server = start()
    with server.asked() as held, server.asked() as idle:
        assert get(idle)[0].status == 200
        held.request("GET", "/held")
        assert server.service.begun.wait(20)
        server.end()
        while not server.service.tide.ending:
            server.thread.join(0.001)
        with server.asked() as late:
            assert get(late)[0].status == 200
        server.service.go.set()
        answer = held.getresponse()
        assert json.loads(answer.read()) == {"ending": True}
    server.thread.join(20)
    with pytest.raises(ConnectionRefusedError):
        server.connected()


def test_an_address_of_version_6_is_one_to_click_on(start):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        server = start("::1")
    except LookcloserError:
        pytest.skip("no IPv6 address on this machine")
    assert re.fullmatch(r"http://\[::1\]:\d+", server.said[0])
    with server.asked() as connection:
        assert get(connection)[0].status == 200


@pytest.mark.parametrize("host", ["..", f"{'x' * 70}.y", "203.0.113.1", "::zz"])
def test_a_host_that_is_none_of_this_machine_is_one_sentence(host):
    with pytest.raises(LookcloserError, match="cannot listen there .*Choose another --host or"):
        process.run(None, Limits(), host, 0, print)


def test_a_port_that_is_none():
    with pytest.raises(LookcloserError, match="127.0.0.1:70000: cannot listen there"):
        process.run(None, Limits(), "127.0.0.1", 70_000, print)


@pytest.mark.parametrize(
    ("soft", "hard", "found"),
    [
        (1024, 1024, (488, 488)),
        (1024, 2**20, (512, 2048)),
        (64, 64, (8, 8)),
        (8, 8, (1, 1)),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, (512, 2048)),
    ],
)
def test_connections_are_no_more_than_there_are_files_for(monkeypatch, soft, hard, found):
    """Else each one that waits to be accepted is a fault in the log, over and over."""
    raised = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, pair: raised.append(pair))
    assert process._room(512) == found
    assert raised == [(hard, hard)]


def test_files_that_the_system_does_not_give_are_not_counted_on(monkeypatch):
    def refuses(*_given):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuses)
    assert process._room(512) == (104, 104)


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_terminal_that_closes_ends_the_server_as_sigterm_does(monkeypatch, before):
    server = process._Server(process.uvicorn.Config(Service()), Service(), lambda: None)
    raised = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    own = signal.signal(signal.SIGHUP, before)
    try:
        with server.capture_signals():
            inside = signal.getsignal(signal.SIGHUP)
            if callable(inside):
                inside(signal.SIGHUP, None)
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, own)
    ignored = before == signal.SIG_IGN  # by nohup
    assert (server.should_exit, raised) == (not ignored, [] if ignored else [signal.SIGHUP])
