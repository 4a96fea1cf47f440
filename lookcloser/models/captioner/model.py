"""Captioning: a recurrent layer says one word a step, starting from the image."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.data.vocabulary import END, NULL, START, UNKNOWN, longest_caption
from lookcloser.decoding import Search, Step
from lookcloser.layers import recurrent_cell
from lookcloser.models.base import Criterion, Model, make_backbone
from lookcloser.models.captioner.attention import SoftAttention
from lookcloser.models.captioner.evidence import gradient_maps, shifted
from lookcloser.models.captioner.options import (
    GRU_METHOD,
    LSTM_METHOD,
    RNN_METHOD,
    CaptionerOptions,
)
from lookcloser.models.captioner.parts import file_form
from lookcloser.models.file_form import FileForm

State = tuple[Tensor, ...]

LONGEST = 20  # words of a caption, where neither data nor options say it
NEVER_SAID = (NULL, START, UNKNOWN)


class Captioner(Model):
    """Base of the captioners, which differ in their recurrent cell.

    With features f (B, D, h, w): ``h0 = W_0 mean(f) + b_0``. Each step reads a word and gives the
    scores of the next, ``W_v h + b_v`` (Vinyals et al., "Show and Tell", CVPR 2015, with the image
    as the first state). With attention the state looks at the places of the image before it
    speaks, ``W_v (h + c) + b_v`` with the context c of `SoftAttention`, and the next step reads c
    beside the word: what has been seen is remembered (Xu et al., "Show, Attend and Tell", ICML
    2015, in the order of Luong et al., "Effective Approaches to Attention-based Neural Machine
    Translation", EMNLP 2015).

    Features made beforehand may take the place of images: `describe` is the forward pass on them,
    and `write` the answer.

    Args:
        num_classes: V, the size of the vocabulary with its specials; see `Vocabulary`.
        options: See `CaptionerOptions`. Dropout is on the words read and on the states that speak.
            With ``attend`` the weights are each word's evidence. ``tied`` scores words by their
            own vectors E, ``W_v = E W_t``; for ``scheduled_sampling`` see Bengio et al., NeurIPS
            2015. Captions drawn at random are the same ones for the same batch.

    Raises:
        LookcloserError: For a backbone that cannot be made.

    Attributes:
        own_words: The share of ``scheduled_sampling`` that holds now; training raises it.
    """

    Options = CaptionerOptions
    soft_targets: ClassVar[bool] = False

    def __init__(self, num_classes: int, options: CaptionerOptions | None = None) -> None:
        super().__init__()
        options = options or CaptionerOptions()
        embed_size, hidden_size = options.embed_size, options.hidden_size
        attend, tied = options.attend, options.tied
        self.scheduled_sampling, self.own_words = options.scheduled_sampling, 0.0
        self.max_length, self.beam = options.max_length or LONGEST, options.beam
        self.temperature, self.top_p = options.temperature, options.top_p
        self.backbone = make_backbone(options)
        width = self.backbone.width
        self.first = nn.Linear(width, hidden_size)
        self.attention = SoftAttention(width, hidden_size) if attend else None
        self.embedding = nn.Embedding(num_classes, embed_size)
        nn.init.normal_(self.embedding.weight, std=embed_size**-0.5)
        read_size = embed_size + (hidden_size if attend else 0)
        self.cell = recurrent_cell(self.name, read_size, hidden_size)
        self.dropout = nn.Dropout(options.drop_rate)
        self.narrow = nn.Linear(hidden_size, embed_size, bias=False) if tied else None
        self.word_weight = None if tied else nn.Parameter(torch.empty(num_classes, hidden_size))
        self.word_bias = nn.Parameter(torch.zeros(num_classes))
        if self.word_weight is not None:
            nn.init.normal_(self.word_weight, std=hidden_size**-0.5)

    @classmethod
    def data_arguments(cls, catalog: Catalog) -> dict[str, Any]:
        """As many words as the longest training caption has."""
        return {"max_length": longest_caption(catalog)}

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Features, and the scores of the first word.

        Args:
            images: (B, 3, H, W), normalized as the backbone expects.
            targets: Not used: evidence belongs to the words that `answer` writes.
            top: Not used.

        Returns:
            ``logits`` (B, V) of the first word; ``features`` (B, D, h, w) for `losses`.
        """
        del targets, top
        return self.describe(self.backbone(images))

    def describe(self, features: Tensor) -> Output:
        """`forward` on features made beforehand: (B, D, h, w), or pooled (B, D) without attention.

        Raises:
            LookcloserError: For features of another shape.
        """
        width = self.backbone.width
        shapes = f"(B, {width}, h, w)" + ("" if self.attention else f" or (B, {width})")
        if features.ndim not in ((4,) if self.attention else (2, 4)) or features.shape[1] != width:
            raise LookcloserError(
                f"features of shape {tuple(features.shape)}",
                allowed=f"{shapes}, of the backbone {self.backbone.name}",
            )
        start = torch.full((features.shape[0], 1), START, device=features.device)
        return Output(self.word_logits(features, start)[:, 0], features=features)

    def answer(self, images: Tensor, top: int) -> Output:
        """The captions of a batch; see `write`. ``top`` is not used: every word gets its map."""
        del top
        return self.write(self.backbone(images))

    @torch.no_grad()
    def write(self, features: Tensor) -> Output:
        """Captions from features, as `describe` takes them.

        Returns:
            ``tokens`` (B, K) words without START and END, padded with -1, K at least 1;
            ``token_scores`` (B, K) the probability of each after those before it; ``maps``
            (B, K, h, w) where the word comes from: its weights of attention, or without attention
            its `gradient_maps`, None for pooled features; ``logits`` (B, V) of the first word.
        """
        tokens = self._decode(features)
        said = tokens >= 0
        hidden, weights = self.states(features, shifted(tokens))
        logits = self.word_scores(hidden)
        chosen = tokens.clamp(min=0)[..., None]
        scores = logits.float().softmax(dim=-1).gather(2, chosen)[..., 0] * said
        maps = None
        if features.ndim == 4:
            if weights is None:
                maps = gradient_maps(self, features, tokens)
            else:
                maps = weights.reshape(*tokens.shape, *features.shape[2:])
            maps = maps * said[..., None, None]
        return Output(
            logits[:, 0], maps=maps, tokens=tokens, token_scores=scores, features=features
        )

    @property
    def search(self) -> Search:
        """How the network, and a file of it, decodes."""
        if self.temperature > 0:
            return Search(
                "sample",
                START,
                END,
                self.max_length,
                temperature=self.temperature,
                top_p=self.top_p,
            )
        return Search("beam", START, END, self.max_length, beam=self.beam)

    def file_form(self) -> FileForm:
        """The features, and the parts of the search; see `parts`."""
        return file_form(self)

    def losses(self, output: Output, targets: Tensor, criterion: Criterion) -> dict[str, Tensor]:
        """Cross-entropy of each word after the true ones before it, the mean over all words.

        Inputs are the captions without their last token, targets without their first; a step counts
        where its target is not NULL, so END counts.

        Args:
            output: Of `forward` or `describe`.
            targets: (B, T) words: START, the words, END, then NULL.
            criterion: (logits (n, V), words (n,)) -> mean loss, of the n steps that count.
        """
        assert output.features is not None  # this model's own output
        features = output.features
        targets = targets[:, : int((targets != NULL).sum(dim=1).max())]
        inputs, words = targets[:, :-1], targets[:, 1:]
        if self.training and self.own_words:
            inputs = self._own_inputs(features, inputs)
        counted = words != NULL
        hidden, _ = self.states(features, inputs)
        return {"loss": criterion(self.word_scores(hidden[counted]), words[counted])}

    def word_logits(self, features: Tensor, inputs: Tensor) -> Tensor:
        """(B, T, V) scores of the next word after each of ``inputs`` (B, T), from START on."""
        return self.word_scores(self.states(features, inputs)[0])

    def states(self, features: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What speaks after each of ``inputs`` (B, T): (B, T, H), and the weights (B, T, h·w)."""
        read, state = self.read(inputs), self.first_state(features)
        if self.attention is None:
            return self.cell.sequence(read, state)[0], None
        places, context = self.attention.places(features), self._first_context(features)
        hidden, weights = [], []
        for words in read.unbind(dim=1):
            out, state = self.cell(torch.cat([words, context], dim=1), state)
            context, looked = self.attention(out, places)
            hidden.append(out + context)
            weights.append(looked)
        return torch.stack(hidden, dim=1), torch.stack(weights, dim=1)

    def word_scores(self, hidden: Tensor) -> Tensor:
        """(…, H) -> (…, V)."""
        hidden = self.dropout(hidden)
        if self.narrow is None:
            assert self.word_weight is not None  # either is there
            return F.linear(hidden, self.word_weight, self.word_bias)
        return F.linear(self.narrow(hidden), self.embedding.weight, self.word_bias)

    def word_rows(self, words: Tensor) -> Tensor:
        """(…) words -> (…, H), what each component of a state that speaks adds to their scores."""
        if self.narrow is None:
            assert self.word_weight is not None  # either is there
            return self.word_weight[words]
        return F.linear(self.embedding.weight[words], self.narrow.weight.T)

    def first_state(self, features: Tensor) -> State:
        """The cell's state before anything is read, of features as `describe` takes them."""
        hidden = self.first(_pooled(features))
        # Under autocast a linear layer answers in half precision and an embedding does not; on a
        # CPU nothing brings the two together for the cell.
        return self.cell.initial_state(hidden.to(self.first.weight.dtype))

    def read(self, words: Tensor) -> Tensor:
        """(…) words -> (…, E) their vectors."""
        read: Tensor = self.dropout(self.embedding(words))
        return read

    def _decode(self, features: Tensor) -> Tensor:
        """The best caption that the beam finds, or one at random: (B, K), padded with -1."""
        found = self.search.run(self._step(features), self.search_state(features))
        return torch.tensor(self.search.tokens(found), device=features.device)

    def _step(self, features: Tensor) -> Step[State]:
        places = None if self.attention is None else self.attention.places(features)
        return lambda state, tokens: self.advance(state, tokens, places)

    def advance(self, state: State, tokens: Tensor, places: Tensor | None) -> tuple[Tensor, State]:
        """One word further: the log-probabilities of the next, and the state after ``tokens``.

        Args:
            state: The row of the image, the context and the cell's state, n rows each.
            tokens: (n,) words.
            places: Of all images, with attention; else None.
        """
        image, context, *cell_state = state
        if self.attention is None or places is None:
            hidden, after = self.cell(self.read(tokens), tuple(cell_state))
        else:
            read = torch.cat([self.read(tokens), context], dim=1)
            out, after = self.cell(read, tuple(cell_state))
            context, _ = self.attention(out, places[image])
            hidden = out + context
        log_probs = self.word_scores(hidden).float().log_softmax(dim=-1)
        log_probs[:, NEVER_SAID] = -torch.inf
        return log_probs, (image, context, *after)

    def search_state(self, features: Tensor) -> State:
        """What a search starts from, of features (B, D, h, w) or pooled."""
        image = torch.arange(features.shape[0], device=features.device)
        return (image, self._first_context(features), *self.first_state(features))

    @torch.no_grad()
    def _own_inputs(self, features: Tensor, inputs: Tensor) -> Tensor:
        """``inputs`` with a share of the words drawn from the model's answers to those before."""
        step, state = self._step(features), self.search_state(features)
        mixed = inputs.clone()
        for position in range(inputs.shape[1] - 1):
            log_probs, state = step(state, mixed[:, position])
            own = torch.multinomial(log_probs.softmax(dim=1), 1)[:, 0]
            drawn = torch.rand(len(own), device=own.device) < self.own_words
            true = mixed[:, position + 1]
            mixed[:, position + 1] = torch.where(drawn & (true != NULL), own, true)
        return mixed

    def _first_context(self, features: Tensor) -> Tensor:
        """Nothing has been seen before the first word."""
        return features.new_zeros(features.shape[0], self.cell.hidden_size)


class RNN(Captioner, method=RNN_METHOD):
    """`Captioner` with the vanilla tanh cell."""


class LSTM(Captioner, method=LSTM_METHOD):
    """`Captioner` with an LSTM."""


class GRU(Captioner, method=GRU_METHOD):
    """`Captioner` with a GRU."""


def _pooled(features: Tensor) -> Tensor:
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features
