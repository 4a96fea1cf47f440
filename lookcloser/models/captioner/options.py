"""What the captioners `rnn`, `lstm` and `gru` are and take."""

from __future__ import annotations

from dataclasses import dataclass

from lookcloser.core.errors import UsageError
from lookcloser.core.options import option
from lookcloser.models.options import BackboneOptions, Method


@dataclass(frozen=True)
class CaptionerOptions(BackboneOptions):
    """Options of `Captioner`."""

    attend: bool = option(False, "Soft attention: each word looks at places of the image.")
    embed_size: int = option(256, "Width of the vector of a label or word.", least=1)
    hidden_size: int = option(512, "Width of the recurrent state.", least=1)
    tied: bool = option(False, "Score labels or words by their own vectors.")
    scheduled_sampling: float = option(
        0.0,
        "Share of words read from the model's own answers at the end.",
        least=0,
        most=1,
    )
    max_length: int | None = option(
        None, "Most words in a caption; None: as in the longest training caption.", least=1
    )
    beam: int = option(3, "Width of the beam search; 1 is greedy.", least=1)
    temperature: float = option(
        0.0, "Above 0: sample captions instead of searching for the best one.", least=0
    )
    top_p: float | None = option(
        None,
        "Sample only from the likeliest words that add up to this probability.",
        above=0,
        most=1,
    )
    min_count: int = option(
        1,
        "Leave out words that occur fewer times than this in the training captions.",
        least=0,
        use="training",
    )
    max_words: int | None = option(None, "Largest size of the vocabulary.", least=1, use="training")

    def check_together(self) -> None:
        """Searching the best draws nothing."""
        if self.top_p is not None and self.temperature == 0:
            raise UsageError(
                f"{{}} {self.top_p}: not without a temperature",
                fix="Give a temperature above 0 as well",
                option="top_p",
            )


def _method(name: str, kind: str, model: str) -> Method:
    return Method(
        name,
        ("captioning",),
        f"captions by {kind}, with soft attention where asked for",
        CaptionerOptions,
        f"lookcloser.models.captioner.model:{model}",
    )


RNN_METHOD = _method("rnn", "a vanilla recurrent layer", "RNN")
LSTM_METHOD = _method("lstm", "an LSTM", "LSTM")
GRU_METHOD = _method("gru", "a GRU", "GRU")

METHODS = (RNN_METHOD, LSTM_METHOD, GRU_METHOD)
