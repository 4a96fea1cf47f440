"""The images of Label Studio's tasks: found where they may be, and nowhere else."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lookcloser.serve.limits import Access

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
        assert "not asked" in answer.json()["detail"]
    vision = {"images": [f"{url}/a.png"]}
    assert insects.post("/api/v1/vision/labels", json=vision).status_code == 422
    assert asked == []
