"""Files that are replaced while requests come."""

import shutil
import threading
from functools import partial

import pytest

from lookcloser.serve import app
from lookcloser.serve.engines.reloading import Reloader


@pytest.fixture
def path(files, tmp_path):
    return shutil.copy(files.cam, tmp_path / "model.safetensors")


@pytest.fixture
def client(serve, path, monkeypatch):
    # The tests look themselves; a look of the server's own between two of theirs would load twice.
    monkeypatch.setattr(app, "Reloader", partial(Reloader, seconds=3600.0))
    return serve(path)


def settled(client):
    """Look twice: a file is whole once it is the same twice in a row."""
    served = client.app.models["model"]
    served.look_for_replacement()
    served.look_for_replacement()
    return served


def task(client, drawing):
    return client.post("/v1/predict", content=drawing.file()).json()["predictions"][0]["task"]


def test_a_replaced_file_is_loaded_once_it_is_whole(client, path, files, drawing):
    served = client.app.models["model"]
    before = served.version
    served.look_for_replacement()
    assert served.version is before
    shutil.copy(files.tags, path)
    served.look_for_replacement()
    assert served.version is before
    served.look_for_replacement()
    assert task(client, drawing) == "multilabel"
    assert 'reloads_total{model="model",outcome="loaded"} 1.0' in client.get("/metrics").text


def test_a_broken_replacement_keeps_the_model_and_says_so(client, path, files, drawing, caplog):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    settled(client)
    settled(client)
    assert task(client, drawing) == "classification"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert "cannot be loaded" in ready.json()["models"]["model"]
    metrics = client.get("/metrics").text
    assert 'lookcloser_model_stale{model="model"} 1.0' in metrics
    assert 'reloads_total{model="model",outcome="refused"} 1.0' in metrics  # tried once
    assert "cannot be loaded" in caplog.text
    path.write_bytes(content)
    settled(client)
    assert client.get("/readyz").json()["models"]["model"] == "ready"
    assert 'lookcloser_model_stale{model="model"} 0.0' in client.get("/metrics").text


def test_a_file_that_is_gone_changes_nothing(client, path, drawing):
    path.unlink()
    settled(client)
    assert task(client, drawing) == "classification"


class Looked:
    """Counts the looks at it, and may be waited for."""

    def __init__(self, until):
        self.looks, self._until, self.reached = 0, until, threading.Event()

    def look_for_replacement(self):
        self.looks += 1
        if self.looks == self._until:
            self.reached.set()


def test_every_model_is_looked_at_again_and_again_until_the_end():
    models = [Looked(3), Looked(3)]
    reloader = Reloader(models, seconds=0.001)
    assert [model.looks for model in models] == [0, 0], "not before it is started"
    reloader.start()
    assert all(model.reached.wait(20) for model in models)
    reloader.close()
    after = [model.looks for model in models]
    assert after[0] == after[1], "a round is finished"
    assert not reloader._thread.is_alive()


def test_the_end_is_not_waited_for():
    model = Looked(1)
    reloader = Reloader([model], seconds=3600.0)
    reloader.start()
    reloader.close()
    assert model.looks == 0
