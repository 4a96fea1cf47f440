"""serve: what is refused before it begins; tests/serve has the server."""

import socket
import subprocess
import sys
from importlib import util
from itertools import chain
from types import SimpleNamespace

import pytest

from lookcloser.cli import serve
from lookcloser.serve.limits import Limits


def test_help_loads_no_server(program):
    code = (
        "import sys; sys.argv = ['lookcloser', 'serve', '--help']\n"
        "from lookcloser.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'fastapi', 'uvicorn', 'prometheus_client'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_missing_extra_is_one_sentence(program, monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(
        serve, "find_spec", lambda name: None if name == "python_multipart" else found(name)
    )
    done = program("serve", "run")
    assert done.code == 1
    assert "server needs python-multipart, which is not installed" in done.said
    assert "pip install 'lookcloser[serve]'" in done.said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing"], 1, "no such run or model"),
        (["nothing", "--api-key-env", "NOT_SET"], 2, "not set"),
        (["nothing", "--api-key", "a", "--api-key-env", "HOME"], 2, "Give one of them"),
        (["nothing", "--api-key", "caf\u00e9"], 2, "printable ASCII"),
        (["nothing", "--max-images", "9", "--max-queue", "8"], 2, "--max-queue"),
        (["nothing", "--port", "70000"], 2, "65535"),
        (["nothing", "--engine", "caffe"], 2, "auto, onnx, torch"),
    ],
)
def test_wrong_usage(program, words, code, said):
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    done = program("serve", *words)
    assert done.code == code
    assert said in done.said


def test_an_address_that_is_taken():
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from lookcloser.core.errors import LookcloserError
    from lookcloser.serve.process import run

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LookcloserError, match="cannot listen there"):
            run(None, Limits(), "127.0.0.1", port, print)


def test_names_of_hosts():
    assert serve._hosts("127.0.0.1", ["Birds.local"]) == {
        *("127.0.0.1", "localhost", "::1", "[::1]", "birds.local")
    }
    assert serve._hosts("0.0.0.0", []) is None
    assert serve._hosts("0.0.0.0", ["a"]) == {"0.0.0.0", "a"}


@pytest.fixture
def served(monkeypatch):
    """What the server would be run with."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    models = {"birds": ("cam", "classification", True), "tags": ("cnnrnn", "multilabel", False)}
    served = {}

    def service(sources, limits, access, device):
        served.update(sources=sources, limits=limits, access=access, device=device)
        return SimpleNamespace(
            models={
                name: SimpleNamespace(
                    name=name,
                    source=SimpleNamespace(exported=exported),
                    version=SimpleNamespace(header=SimpleNamespace(method=method, task=task)),
                )
                for name, (method, task, exported) in models.items()
            }
        )

    def run(service, limits, host, port, say):
        served["address"] = host, port
        say(f"http://{host}:{port}")

    monkeypatch.setattr("lookcloser.serve.app.Service", service)
    monkeypatch.setattr("lookcloser.serve.process.run", run)
    monkeypatch.setattr("lookcloser.serve.engines.sources.read_sources", lambda *given: given)
    return served


def test_what_is_served_is_said_on_stderr(program, served):
    done = program("serve", "birds=a.onnx", "b", "--engine", "torch", "--device", "cpu")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [
        "birds: cam, classification, on ONNX Runtime",
        "tags: cnnrnn, multilabel, on torch",
        "Serving at http://127.0.0.1:8000, docs at http://127.0.0.1:8000/docs",
    ]
    assert served["sources"] == (["birds=a.onnx", "b"], "torch")
    assert served["device"] == "cpu"


def test_limits_are_given_in_units_that_people_use(program, served):
    words = {"--max-body": "1.5", "--max-pixels": "0.25", "--max-images": 3, "--max-queue": 4}
    words |= {"--batch-size": 5, "--batch-wait": 250, "--workers": 6, "--timeout": 2}
    program("serve", "run", *chain(*words.items()))
    limits = served["limits"]
    assert (limits.body, limits.pixels) == (1_500_000, 250_000)
    assert (limits.images, limits.queue, limits.batch, limits.decoders) == (3, 4, 5, 6)
    assert (limits.wait, limits.seconds, limits.header_seconds) == (0.25, 2, 2)
    program("serve", "run")
    assert served["limits"] == Limits(body=32_000_000)


@pytest.mark.parametrize("option", ["--max-body", "--max-pixels", "--timeout", "--batch-wait"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "1e300"])
def test_no_limit_is_left_open(program, served, option, value):
    done = program("serve", "run", f"{option}={value}")
    assert done.code == 2
    assert option in done.said
    assert "limits" not in served


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "192.168.0.2"])
def test_who_listens_to_all_without_a_key_is_told_so(program, served, monkeypatch, host):
    warning = "Anybody who can reach this machine may send requests: there is no --api-key-env"
    monkeypatch.setenv("KEY", "s3cret-of-mine")
    done = program("serve", "run", "--host", host, "--port", 0)
    assert (warning in done.err) == (host in {"0.0.0.0", "192.168.0.2"})
    assert served["address"] == (host, 0)
    done = program("serve", "run", "--host", host, "--api-key-env", "KEY")
    assert warning not in done.err
    assert served["access"].key == "s3cret-of-mine"
    assert "s3cret-of-mine" not in done.out + done.err


def test_access_is_what_was_asked_for(program, served, monkeypatch):
    monkeypatch.setenv("TOKEN", "t0ken")
    monkeypatch.setenv("HOME", "/home/of-mine")
    words = ["--files", "~/files", "--label-studio-url", "http://ls"]
    words += ["--label-studio-key-env", "TOKEN"]
    program("serve", "run", *words, "--allow-host", "Birds.Local", "--allow-host", "b")
    access = served["access"]
    assert (access.files, access.label_studio) == ("/home/of-mine/files", "http://ls")
    assert access.label_studio_key == "t0ken"
    assert access.hosts >= {"birds.local", "b", "localhost", "127.0.0.1"}
    program("serve", "run", "--host", "0.0.0.0")
    assert (served["access"].hosts, served["access"].files) == (None, None)


@pytest.mark.parametrize("key", ["", " ", "a\tb", "a\nb", "schl\u00fcssel", "\x7f"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(program, served, key):
    done = program("serve", "run", "--api-key", key)
    assert done.code == 2
    assert "printable ASCII" in done.said
    assert not key.strip() or key not in done.err
    assert "limits" not in served


def test_an_empty_variable_is_no_key(program, served, monkeypatch):
    monkeypatch.setenv("KEY", "")
    for option in ("--api-key-env", "--label-studio-key-env"):
        done = program("serve", "run", option, "KEY")
        assert done.code == 2
        assert "KEY: an environment variable that is not set. Set and export it." in done.said
