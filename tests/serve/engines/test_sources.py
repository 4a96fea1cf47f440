"""What is served for what the user named."""

import shutil
import subprocess
import sys

import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.serve.engines import sources
from lookcloser.serve.engines.sources import read_sources


@pytest.fixture
def run(files, tmp_path):
    folder = tmp_path / "birds"
    folder.mkdir()
    shutil.copy(files.cam, folder / "model.safetensors")
    return folder


def test_the_exported_file_beside_a_run_is_the_default(run, files):
    (source,) = read_sources([str(run)])
    assert (source.name, source.exported, source.file) == (
        *("birds", False),
        run / "model.safetensors",
    )
    shutil.copy(files.onnx, run / "model.onnx")
    (source,) = read_sources([str(run)])
    assert (source.name, source.exported, source.file) == ("birds", True, run / "model.onnx")
    (source,) = read_sources([str(run)], "torch")
    assert not source.exported


def test_without_onnx_runtime_the_run_itself_answers(run, files, monkeypatch):
    shutil.copy(files.onnx, run / "model.onnx")
    monkeypatch.setattr(sources, "find_spec", lambda _name: None)
    assert not read_sources([str(run)])[0].exported


def test_an_exported_file_of_another_training_is_not_used(run, files, caplog):
    shutil.copy(files.onnx, run / "model.onnx")
    shutil.copy(files.tags, run / "model.safetensors")
    (source,) = read_sources([str(run)])
    assert not source.exported
    assert "another training" in caplog.text
    assert read_sources([str(run)], "onnx")[0].exported


def test_names(files, run):
    named = read_sources([f"a={files.onnx}", f"my birds={run}", "timm:test_resnet.r160_in1k"])
    assert [source.name for source in named] == ["a", "my birds", "test_resnet.r160_in1k"]
    odd = run.with_name("x=y")
    run.rename(odd)
    assert read_sources([str(odd)])[0].name == "x=y"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{onnx}", "{onnx}"], "two models of one name"),
        (["a\r\nb={onnx}"], "not the name of a model"),
        (["a/b={onnx}"], "not the name of a model"),
        ([f"{'x' * 101}={{onnx}}"], "not the name of a model"),
        (["nothing/there"], "no such run or model"),
    ],
)
def test_refusals(files, words, said):
    with pytest.raises(LookcloserError, match=said):
        read_sources([word.format(onnx=files.onnx) for word in words])


def test_an_engine_that_is_not_there(run):
    with pytest.raises(LookcloserError, match="lookcloser export"):
        read_sources([str(run)], "onnx")
    with pytest.raises(LookcloserError, match="auto, onnx, torch"):
        read_sources([str(run)], "caffe")


def test_a_server_of_exported_files_loads_no_torch(files, drawing, tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(drawing.file())
    program = (
        "import sys\n"
        "from starlette.testclient import TestClient\n"
        "from lookcloser.serve.app import Service\n"
        "from lookcloser.serve.engines.sources import read_sources\n"
        "with TestClient(Service(read_sources([sys.argv[1]]))) as client:\n"
        "    sent = {'image': open(sys.argv[2], 'rb')}\n"
        "    assert client.post('/v1/predict', files=sent).status_code == 200\n"
        "    assert client.get('/').status_code == client.get('/v1/models').status_code == 200\n"
        "heavy = {'torch', 'timm', 'scipy', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, files.onnx, image], check=True)
