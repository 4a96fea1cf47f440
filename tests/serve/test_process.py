"""A real server in a process of its own: hostile connections, replaced files, its end."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest

from lookcloser import load

from ..browser import CHROMIUM

SECONDS = 1.0
CLIENTS = 8


class Running:
    """A server of one model file, which may be replaced."""

    def __init__(self, folder, files):
        self.model = folder / "model.onnx"
        shutil.copy(files.onnx, self.model)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-m", "lookcloser", "serve", str(self.model)),
                f"beside={files.onnx}",
                *("--port", "0", "--timeout", str(SECONDS)),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        said = ""
        for line in self.process.stderr:
            said += line
            if line.startswith("Serving at http://127.0.0.1:"):
                self.port = int(line.split(",")[0].rpartition(":")[2])
                return
        raise AssertionError(said)

    def connected(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def get(self, path):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as asked:
            asked.request("GET", path)
            answer = asked.getresponse()
            return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def running(files, tmp_path_factory):
    server = Running(tmp_path_factory.mktemp("running"), files)
    yield server
    server.process.kill()
    server.process.communicate()


def everything(connection):
    """What the server sends until it closes the connection."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "],
    ids=["nothing", "half a header"],
)
def test_a_header_that_does_not_come_closes_the_connection(running, sent):
    with running.connected() as slow:
        slow.sendall(sent)
        assert everything(slow) == b""


def test_the_header_of_a_second_request_has_a_deadline_too(running):
    with running.connected() as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"HTTP/1.1 200" in slow.recv(65536)
        begun = time.monotonic()
        slow.sendall(b"GET /healthz HT")
        assert b"HTTP" not in everything(slow)
        assert time.monotonic() - begun < 10  # less than an idle connection may stay


def test_a_body_that_does_not_come_is_a_problem(running):
    with running.connected() as slow:
        slow.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000\r\n\r\n123"
        )
        assert b"HTTP/1.1 408" in slow.recv(65536)


def test_what_is_no_http_is_a_problem(running):
    with running.connected() as odd:
        odd.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = everything(odd)
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 400


def test_clients_that_go_away_leave_nothing_behind(running, drawing):
    image = drawing.file()
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(image)}\r\n\r\n"
    )
    for number in range(60):
        with running.connected() as gone:
            whole = head.encode() + image
            gone.sendall(whole[: len(whole) if number % 2 else len(whole) // 2])
    until = time.monotonic() + 20
    while time.monotonic() < until:
        text = running.get("/metrics")[1]
        if 'waiting_images{model="model"} 0.0' in text and "held_bytes 0.0" in text:
            break
    else:
        raise AssertionError(text)


CLIENTS_OF = Path(__file__).parents[2] / "examples" / "clients"


@pytest.mark.parametrize(
    ("program", "file"), [("sh", "curl.sh"), (sys.executable, "client.py"), ("node", "client.mjs")]
)
def test_the_clients_of_the_examples(running, files, drawing, tmp_path, program, file):
    if shutil.which("curl" if program == "sh" else program) is None:
        pytest.skip(f"needs {program}")
    images = [tmp_path / "a b.png", tmp_path / "c.png"]
    for number, image in enumerate(images):
        image.write_bytes(drawing.file(number))
    given = images[:1] if file == "client.py" else images
    done = subprocess.run(
        [program, CLIENTS_OF / file, f"http://127.0.0.1:{running.port}", *given],
        capture_output=True,
        text=True,
        check=True,
    )
    best = [answer.labels[0].name for answer in load(files.onnx).predict(images)]
    if file == "curl.sh":
        found = json.loads(done.stdout)["predictions"]
        assert [answer["labels"][0]["name"] for answer in found] == best
    elif file == "client.py":
        assert done.stdout.startswith(f"{best[0]}: ")
    else:
        assert done.stdout.split("\n")[:1] == [f"a b.png {best[0]}"]
    (tmp_path / "broken.png").write_bytes(b"broken")
    words = [program, CLIENTS_OF / file, f"http://127.0.0.1:{running.port}"]
    failed = subprocess.run([*words, tmp_path / "broken.png"], capture_output=True, check=False)
    assert failed.returncode != 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_docs_are_followed_to_the_letter(running, drawing, tmp_path):
    """Their example, and what probes and programs ask by HEAD."""
    (tmp_path / "photo.jpg").write_bytes(drawing.file())
    example = unescape(re.search(r"<pre>(curl .*)</pre>", running.get("/docs")[1])[1])
    for words, said in ((example, '"predictions":['), (f"curl -I {example.split()[-1]}", "405")):
        done = subprocess.run(
            shlex.split(words), capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert said in done.stdout


WAITING = "[...document.querySelectorAll('.past-answer')].some((e) => e.textContent === 'waiting')"
SET = """(() => {
  const field = document.querySelector("[name=%s]");
  field.value = "%s";
  field.dispatchEvent(new Event("input", { bubbles: true }));
})()"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_in_a_browser(running, request, files, drawing, tmp_path):
    """Images, their answers, an error, the threshold, two models; no script of a name runs."""
    browser = request.getfixturevalue("browser")
    images = [tmp_path / "<img src=x onerror=alert(1)>.png", tmp_path / "b.png", tmp_path / "c.png"]
    for number, image in enumerate(images):
        image.write_bytes(drawing.file(number) if number < 2 else b"broken")
    browser.open(f"http://127.0.0.1:{running.port}/")
    browser.wait_for("document.querySelector('[name=model]').options.length === 2")
    browser.give_files("#files", images)
    browser.wait_for(f"document.querySelectorAll('.past').length === 3 && !({WAITING})")
    expected = load(files.onnx).predict([image.read_bytes() for image in images[:2]])
    shown = browser.value(
        "[...document.querySelectorAll('.past-answer')].map((e) => e.textContent)"
    )
    assert shown[-1] == "no answer"  # images that come together keep their order
    for text, answer in zip(shown[:-1], expected, strict=True):
        assert answer.labels[0].name in text
    browser.value("[...document.querySelectorAll('.past')].at(-1).click()")
    trouble = "[...document.querySelectorAll('.panel .trouble')].map((e) => e.textContent).join()"
    assert "not an image that can be read" in browser.value(trouble)
    browser.value("document.querySelector('.past').click()")
    browser.value(SET % ("opacity", "0"))
    browser.value(SET % ("beside", "beside"))
    browser.wait_for("document.querySelectorAll('.panel .region').length === 6")
    titles = browser.value(
        "[...document.querySelectorAll('.panel .model')].map((e) => e.textContent)"
    )
    assert titles == ["model", "beside"]
    assert not browser.named("Page.javascriptDialogOpening")
    asked = {call["request"]["url"] for call in browser.named("Network.requestWillBeSent")}
    assert all(
        url.startswith((f"http://127.0.0.1:{running.port}/", "data:", "blob:")) for url in asked
    )


class Load:
    """Clients that ask one request after the other; what each came to is counted."""

    def __init__(self, running, image):
        self.outcomes = Counter()
        self.stopped = threading.Event()
        self._running, self._image = running, image
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self.stopped.set()
        for thread in self._threads:
            thread.join()

    def until(self, answered):
        """Wait for so many more answers."""
        wanted = self.outcomes[200] + answered
        until = time.monotonic() + 60
        while self.outcomes[200] < wanted and time.monotonic() < until:
            self.stopped.wait(0.01)
        assert self.outcomes[200] >= wanted

    def _ask(self):
        port = self._running.port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            self._ask_on(connection)

    def _ask_on(self, connection):
        while not self.stopped.is_set():
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                self.outcomes["nobody listens"] += 1
                return
            try:
                connection.request(
                    "POST", "/v1/predict", self._image, {"Content-Type": "image/png"}
                )
                answer = connection.getresponse()
                answer.read()
                self.outcomes[answer.status] += 1
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[f"lost: {error!r}"] += 1
                connection.close()


def test_files_are_replaced_and_the_server_ends_without_a_lost_request(running, drawing):
    """In this order: afterwards there is no server."""
    load = Load(running, drawing.file())
    content = running.model.read_bytes()
    new = running.model.with_name("new.onnx")
    for count in (1, 2):
        new.write_bytes(content)
        os.replace(new, running.model)
        until = time.monotonic() + 60
        wanted = f'reloads_total{{model="model",outcome="loaded"}} {count}.0'
        while wanted not in running.get("/metrics")[1]:
            assert time.monotonic() < until
            load.until(5)
    load.until(20)
    assert set(load.outcomes) == {200}
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(60)
    load.stop()
    assert running.process.returncode == -signal.SIGTERM
    assert load.outcomes["nobody listens"] == CLIENTS
    assert set(load.outcomes) == {200, "nobody listens"}
