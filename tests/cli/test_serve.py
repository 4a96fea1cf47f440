"""serve: what is refused before it begins; tests/serve has the server."""

import socket
import subprocess
import sys
from importlib import util

import pytest

from lookcloser.cli import serve


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
    from lookcloser.serve.limits import Limits
    from lookcloser.serve.process import run

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LookcloserError, match="cannot be listened at"):
            run(None, Limits(), "127.0.0.1", port, print)


def test_names_of_hosts():
    assert serve._hosts("127.0.0.1", ["Birds.local"]) == {
        *("127.0.0.1", "localhost", "::1", "[::1]", "birds.local")
    }
    assert serve._hosts("0.0.0.0", []) is None
    assert serve._hosts("0.0.0.0", ["a"]) == {"0.0.0.0", "a"}
