"""What the processes of a training say of each other; the processes are in the tests beside it."""

import pytest
from torch import distributed

from lookcloser.core import LookcloserError
from lookcloser.explain.outputs import NetworkError
from lookcloser.training.parallel import launch


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]:61"),
        RuntimeError("Read error [127.0.0.1]:7: Connection reset by peer"),
        distributed.DistBackendError("NCCL error"),
    ],
)
def test_a_lost_process_is_told_in_a_sentence(error):
    with (
        pytest.raises(LookcloserError, match="nother process of this training has ended"),
        launch._one_sentence_of_loss(),
    ):
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), NetworkError("connection refused"), ValueError("x")]
)
def test_whatever_else_goes_wrong_keeps_its_own_words(error):
    with pytest.raises(type(error)) as told, launch._one_sentence_of_loss():
        raise error
    assert told.value is error
