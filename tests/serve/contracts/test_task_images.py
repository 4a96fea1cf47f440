"""The images of Label Studio's tasks: found where they may be, and nowhere else."""

import asyncio
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lookcloser.core.errors import UsageError
from lookcloser.serve.contracts.task_images import TaskImages
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.limits import Access, Limits

from .conftest import ask, task


@pytest.fixture
def photos(tmp_path, drawing):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "im 1.png").write_bytes(drawing.file())
    (tmp_path / "secret.png").write_bytes(drawing.file())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


LOCAL = "/data/local-files/?d="


def test_local_files_stay_in_their_folder(serve, files, photos):
    client = serve(files.onnx, access=Access(files=str(photos)))
    places = [
        *(f"{LOCAL}../secret.png", f"{LOCAL}/{photos.parent}/secret.png", f"{LOCAL}link.png"),
        *(f"{LOCAL}deep", f"{LOCAL}%2e%2e/secret.png", f"{LOCAL}a%00b", f"{LOCAL}{'x' * 5000}"),
        *(LOCAL, f"http://evil.example{LOCAL}deep/im%201.png", "file:///etc/passwd", "/etc/passwd"),
        *("http://169.254.169.254/latest", "", None, 7, ["a"]),
    ]
    good = task(f"{LOCAL}deep/im%201.png")
    for start in range(0, len(places), 8):
        tasks = [good, *(task(place) for place in places[start : start + 8])]
        found = ask(client, tasks).json()["results"]
        assert found[0]["result"]
        for place, result in zip(places[start:], found[1:], strict=False):
            assert result["result"] == [], place
            assert str(photos) not in result["error"]


@pytest.fixture
def label_studio(drawing):
    """Gives an image to who has the token, and sends some elsewhere."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            known = self.headers.get("Authorization") == "Token secret"
            if "redirect" in self.path:
                self.send_response(302)
                self.send_header("Location", "/data/upload/1/a.png")
                self.end_headers()
                return
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(drawing.file() if known else b"")

        def log_message(self, *_given):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_uploads_are_fetched_from_the_one_label_studio(serve, files, label_studio):
    url, asked = label_studio
    client = serve(files.onnx, access=Access(label_studio=url, label_studio_key="secret"))
    tasks = [task("/data/upload/1/a.png"), task(f"{url}/data/upload/1/b.png")]
    assert all(found["result"] for found in ask(client, tasks).json()["results"])
    assert asked == ["/data/upload/1/a.png", "/data/upload/1/b.png"]
    others = [
        *("/api/users", f"{url}/data/../api/users", f"{url}/data/%2e%2e/api/users"),
        *("http://127.0.0.1:1/data/upload/1/a.png", f"{url}@evil.example/data/upload/a.png"),
    ]
    refused = ask(client, [task(place) for place in others])
    assert refused.status_code == 422
    assert len(asked) == 2
    assert ask(client, [task("/data/upload/redirect")]).status_code == 422
    assert len(asked) == 3


def test_no_address_is_asked_by_default(insects, label_studio):
    url, asked = label_studio
    for place in (f"{url}/data/upload/1/a.png", "/data/upload/1/a.png", f"{LOCAL}a.png"):
        answer = ask(insects, [task(place)])
        assert answer.status_code == 422
        assert "not fetched" in answer.json()["detail"]
    vision = {"images": [f"{url}/a.png"]}
    assert insects.post("/api/v1/vision/labels", json=vision).status_code == 422
    assert asked == []


def find(place, access, **limits):
    return asyncio.run(TaskImages(access, Limits(**limits)).find(place))


def refused(place, access, **limits):
    with pytest.raises(Problem) as told:
        find(place, access, **limits)
    return told.value.status_code, told.value.detail


def test_a_file_is_read_with_its_name_and_up_to_the_largest_body(photos):
    access, size = Access(files=str(photos)), (photos / "deep" / "im 1.png").stat().st_size
    for place in ("deep/im%201.png", "/deep/im 1.png", "./deep/../deep/im+1.png"):
        found = find(f"{LOCAL}{place}", access, body=size)
        assert (len(found.content), found.name) == (size, "im 1.png")
    status, said = refused(f"{LOCAL}deep/im%201.png", access, body=size - 1)
    assert (status, said) == (413, f"An image may have {size - 1:,} bytes at most.")


def test_a_link_that_stays_in_the_folder_is_read(photos):
    (photos / "inside.png").symlink_to(photos / "deep" / "im 1.png")
    assert find(f"{LOCAL}inside.png", Access(files=str(photos))).name == "im 1.png"


ODD = ["http://[", "http://a\u2100b/data/a.png", "//[/data/a.png", "\ud800", "data:,%zz", "/data/"]


def test_what_is_no_address_is_no_image_and_the_other_tasks_are_answered(serve, files, photos):
    client = serve(files.onnx, access=Access(files=str(photos), label_studio="http://127.0.0.1:1"))
    tasks = [task(place) for place in [f"{LOCAL}deep/im%201.png", *ODD, "data:,\ud800"]]
    sent = json.dumps({"tasks": tasks})  # ASCII, as JSON may be: half a surrogate passes
    answer = client.post("/predict", content=sent, headers={"content-type": "application/json"})
    found = answer.json()["results"]
    assert [bool(one["result"]) for one in found] == [True] + [False] * (len(ODD) + 1)
    assert all(one["error"] for one in found[1:])


def test_odd_signs_of_an_address_reach_the_label_studio_in_percents(label_studio):
    url, asked = label_studio
    access = Access(label_studio=f"{url}/", label_studio_key="secret")
    places = {
        "/data/upload/1/a b.png": "/data/upload/1/a%20b.png",
        "/data/upload/1/a%20b.png": "/data/upload/1/a%20b.png",
        "/data/upload/1/caf\u00e9.png": "/data/upload/1/caf%C3%A9.png",
        "/data/upload/a.png\r\n?x=1 2&y=z#part": "/data/upload/a.png?x=1%202&y=z",
    }
    for place in places:
        assert find(place, access).content
    assert asked == list(places.values())
    assert find("/data/upload/1/a%20b.png", access).name == "a%20b.png"


def test_a_label_studio_below_a_path(label_studio):
    url, asked = label_studio
    access = Access(label_studio=f"{url}/studio/", label_studio_key="secret")
    for place in ("/data/upload/1.png", "/studio/data/2.png", f"{url}/studio/data/3.png"):
        assert find(place, access).content
    assert asked == [f"/studio/data/{name}" for name in ("upload/1.png", "2.png", "3.png")]
    for place in ("/studio/api/data/", "/studio/data/../api", "/studio/data/%2E%2E/api"):
        assert "not fetched" in refused(place, access)[1]


def test_without_its_token_a_label_studio_gives_nothing(label_studio):
    url, asked = label_studio
    status, said = refused("/data/upload/1/a.png", Access(label_studio=url))
    assert (status, said) == (422, "Label Studio did not give a task's image.")
    assert len(asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=["no HTTP", "cut off", "an endless header", "an error", "nothing"],
)
def test_what_a_label_studio_does_wrong_is_said_of_the_image(answer):
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as other:
        listening.settimeout(20)

        def answers():
            asked, _ = listening.accept()
            with asked, suppress(OSError):  # once enough was sent, nobody reads on
                asked.recv(4096)
                asked.sendall(answer)

        given = other.submit(answers)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        status, said = refused("/data/a.png", Access(label_studio=url))
        given.result()
    assert (status, said) == (422, "Label Studio did not give a task's image.")


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (Access(files="/nowhere"), "/nowhere: not a folder. Fix --files"),
        (Access(files=__file__), "not a folder"),
        (Access(label_studio="localhost:8080"), "localhost:8080: not an address"),
        (Access(label_studio="ftp://a"), "Give http://HOST:PORT"),
        (Access(label_studio="http://"), "not an address"),
        (Access(label_studio="http://["), "not an address"),
    ],
)
def test_where_images_are_is_checked_when_the_server_starts(access, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        TaskImages(access, Limits())
