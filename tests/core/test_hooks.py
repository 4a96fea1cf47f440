import threading

import pytest
import torch
from torch import nn

from lookcloser.core.hooks import evaluating, watching


def network():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
    model.train()
    model[1].eval()  # a mixed state, as people freeze batch norms
    return model


def modes(model):
    return [module.training for module in model.modules()]


def test_each_module_gets_its_own_mode_back():
    model = network()
    before = modes(model)
    with evaluating(model):
        assert not any(modes(model))
    assert modes(model) == before


def test_modes_come_back_after_an_exception():
    model = network()
    before = modes(model)
    with pytest.raises(RuntimeError, match="inside"), evaluating(model):
        raise RuntimeError("inside")
    assert modes(model) == before


def test_overlapping_blocks_of_two_threads_stay_in_evaluation():
    model = network()
    before = modes(model)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def first():
        with evaluating(model):
            first_in.set()
            second_in.wait(60)
        first_out.set()

    def second():
        first_in.wait(60)
        with evaluating(model):
            second_in.set()
            first_out.wait(60)
            seen.append(modes(model))

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[False] * len(before)]
    assert modes(model) == before


def test_hooks_go_away_also_after_an_exception():
    model = network()
    with pytest.raises(RuntimeError, match="inside"), watching({"0": model[0]}, lambda *_: None):
        raise RuntimeError("inside")
    assert not any(module._forward_hooks for module in model.modules())


def test_another_threads_forward_is_not_seen():
    model = network().eval()
    seen = []
    with watching({"0": model[0]}, lambda name, _inputs, _output: seen.append(name)):
        thread = threading.Thread(target=model, args=(torch.zeros(1, 3, 8, 8),))
        thread.start()
        thread.join()
        assert seen == []
        model(torch.zeros(1, 3, 8, 8))
    assert seen == ["0"]


def test_what_the_watcher_returns_replaces_the_output():
    model = network().eval()
    with watching({"3": model[3]}, lambda _name, _inputs, output: output + 1):
        changed = model(torch.zeros(1, 3, 8, 8))
    torch.testing.assert_close(changed, model(torch.zeros(1, 3, 8, 8)) + 1)
