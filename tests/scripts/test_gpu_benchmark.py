"""benchmarks/gpu.py works before there is a GPU to run it on."""

import dataclasses
import importlib
import json
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("gpu", "_harness"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("gpu")


def test_every_part_runs_on_the_cpu(gpu, squares, tmp_path, capsys, monkeypatch):
    few = dict(list(gpu.MODES.items())[::3])
    monkeypatch.setattr(gpu, "MODES", few)
    out = tmp_path / "gpu.json"
    gpu.main(["--quick", "--birds", str(squares), "--json", str(out)])
    found = json.loads(out.read_text())
    assert [row["evidence"] for row in found["evidence"]] == [
        "bare forward", "with maps", "whole answer",
    ]  # fmt: skip
    assert [row["training"] for row in found["training"]] == list(few)
    assert [row["method"] for row in found["methods"]] == ["osme", "racnn"]
    assert [row["fsdp"] for row in found["fsdp"]] == ["plain", "plain again", "fsdp"]
    assert [row["weights from plain"] for row in found["fsdp"]] == [0.0, 0.0, 0.0]
    for title in ("evidence", "decoding", "batch", "training", "fsdp"):
        for row in found[title]:
            numbers = [value for value in row.values() if isinstance(value, float)]
            assert numbers
            assert all(value >= 0 for value in numbers), (title, row)
    capsys.readouterr()


def test_a_part_that_fails_is_named_and_keeps_no_other_from_running(
    gpu, tmp_path, capsys, monkeypatch
):
    def fails(_size):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpu, "evidence", fails)
    out = tmp_path / "gpu.json"
    with pytest.raises(SystemExit, match="failed: evidence"):
        gpu.main(["--quick", "--parts", "evidence", "decoding", "--json", str(out)])
    assert set(json.loads(out.read_text())) == {"machine", "decoding"}
    assert "out of memory" in capsys.readouterr().err


def test_at_full_size_the_methods_have_the_backbone_their_weights_are_of(gpu, squares, monkeypatch):
    asked = []

    def notes(_catalog, options, _folder, **_more):
        asked.append((options.method, options.backbone, options.batch_size))
        raise InterruptedError

    monkeypatch.setattr(gpu, "fit", notes)
    size = dataclasses.replace(gpu.FULL, repeats=1)  # as `--repeats 1` makes it
    with pytest.raises(InterruptedError):
        gpu.methods(size, squares, "none", until=time.monotonic() + 100)
    assert asked == [("osme", "mobilenetv2_100", 32)]


def test_without_a_gpu_it_says_so(gpu, monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here; --quick"):
        gpu.main([])
