"""An exported .onnx file, asked through ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.decoding import Hypothesis, SearchResult
from lookcloser.decoding.steps import TOLERANCE
from lookcloser.runtime.answering import sigmoid
from lookcloser.runtime.onnx_file import OnnxFile
from lookcloser.runtime.outputs import ArrayOutput, Floats, Ints

if TYPE_CHECKING:
    import onnxruntime

SURE = 1e-15  # scores stay this far from 0 and 1, so that their logits are finite
_ERRORS_ONLY = 3
_BOX = 5  # two corners and a score

State = tuple[NDArray[Any], ...]


class OnnxEngine:
    """An `Engine` on ONNX Runtime; several threads may ask it.

    Args:
        file: Read and checked.
        threads: That one answer may use; 0: as many as there are cores.

    Attributes:
        header: What belongs to the network.

    Raises:
        LookcloserError: Where ONNX Runtime is not installed or refuses the file, and where the
            network is not the one that the header describes.
    """

    def __init__(self, file: OnnxFile, *, threads: int = 0) -> None:
        self.file = file
        self.header: ModelHeader = file.header
        self._threads = threads
        self._image = self._opened(file.model)
        _check(self._image, file)
        self._graphs = {name: self._opened(model) for name, model in file.graphs.items()}

    def answer(self, pixels: NDArray[np.uint8], top: int) -> ArrayOutput:
        """See `lookcloser.runtime.Engine`."""
        found = self._look(pixels)
        if self._graphs:
            return self._decoded(found)
        if self.file.parts.threshold is None:
            best = np.argsort(-found["logits"], axis=1, kind="stable")
            return _output(found, best[:, :top])
        tokens = _above(found["logits"], self.file.parts.threshold)
        return _output(found, tokens)

    def evidence(self, pixels: NDArray[np.uint8], tokens: NDArray[np.int64]) -> ArrayOutput:
        """See `lookcloser.runtime.Engine`."""
        return _output(self._look(pixels), tokens)

    def fingerprint(self) -> str:
        """See `lookcloser.runtime.Engine`."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.file.model).hexdigest()[:16]

    def _look(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The outputs of the network by name."""
        found = self._run(self._image, [pixels.astype(np.float32)])
        self._require(_sane(found, len(pixels), len(self.header.names)))
        return found

    def _require(self, sane: bool) -> None:
        if not sane:
            raise LookcloserError(
                f"{self.file.path}: the outputs of its network are not an answer",
                fix="Take the original file or export it again",
            )

    def _decoded(self, found: dict[str, NDArray[Any]]) -> ArrayOutput:
        """The sequence that the search finds, each token with its score and its map."""
        search, memory_count = self.file.parts.search, self.file.parts.memory
        assert search is not None  # of a file with graphs
        given = self._part("start", found["features"])
        self._require(len(given) > memory_count and _have_rows(given, len(found["features"])))
        memory, state = given[:memory_count], given[memory_count:]

        def step(before: State, tokens: Ints) -> tuple[Floats, State]:
            after = self._part("step", tokens, *memory, *before)
            fits = len(after) == 1 + len(before) and _have_rows(after, len(tokens))
            self._require(fits and _are_log_probs(after[0], search.end))
            return after[0], after[1:]

        results = search.run(step, state)
        tokens = np.array(search.tokens(results), dtype=np.int64)
        self._require(tokens.max(initial=-1) < len(self.header.names))
        chosen = np.maximum(tokens, 0)
        logits = found["logits"]
        if search.scored_paths is None:
            scores = _step_scores(step, state, search.start, chosen)
        else:
            marginals = search.marginals(step, state)[:, : logits.shape[1]]
            logits, scores = _logit(marginals), np.take_along_axis(marginals, chosen, axis=1)
        return ArrayOutput(
            logits,
            self._maps(found["features"], tokens),
            tokens,
            np.where(tokens >= 0, scores, 0.0).astype(np.float32),
            certified=_certified(results),
        )

    def _maps(self, features: Floats, tokens: Ints) -> Floats:
        width = max(self.file.parts.longest, tokens.shape[1])
        padded = np.pad(tokens, ((0, 0), (0, width - tokens.shape[1])), constant_values=-1)
        found = self._part("evidence", features, padded)
        shapes = [maps.shape[:2] for maps in found if maps.ndim == 4 and maps.dtype == np.float32]
        self._require(shapes == [padded.shape] and found[0].size > 0)
        return found[0][:, : tokens.shape[1]]

    def _part(self, name: str, *given: NDArray[Any]) -> State:
        return tuple(self._run(self._graphs[name], given).values())

    def _run(self, graph: _Graph, given: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            feeds = dict(zip(graph.inputs, given, strict=True))
            found = graph.session.run(list(graph.outputs), feeds)
        except Exception as error:  # it raises whatever the graph runs into
            raise LookcloserError(
                f"{self.file.path}: the network cannot be run: {_first_line(error)}",
                fix="Take the original file or export it again",
            ) from error
        return dict(zip(graph.outputs, found, strict=True))

    def _opened(self, model: bytes) -> _Graph:
        try:
            import onnxruntime
        except ImportError as error:
            raise LookcloserError(
                f"{self.file.path}: needs ONNX Runtime, which is not installed",
                fix="Install it: `pip install onnxruntime`",
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = self._threads
        # Threads that wait for work would keep their cores from whatever else is to be done.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # A fallback would try the same once more, and print that it does.
            session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            return _Graph(session, _shapes(session.get_inputs()), _shapes(session.get_outputs()))
        except Exception as error:  # its own classes have no common base
            raise LookcloserError(
                f"{self.file.path}: ONNX Runtime refuses it: {_first_line(error)}",
                fix="Take the original file, export it again, or upgrade onnxruntime",
            ) from error


class _Graph(NamedTuple):
    """A session, and the names and shapes of what goes in and comes out."""

    session: onnxruntime.InferenceSession
    inputs: dict[str, list[Any]]
    outputs: dict[str, list[Any]]


def _shapes(items: Iterable[Any]) -> dict[str, list[Any]]:
    return {item.name: list(item.shape) for item in items}


def _check(graph: _Graph, file: OnnxFile) -> None:
    """Raise a `LookcloserError` where the network is not the one that the header describes."""
    inputs, outputs = list(graph.inputs.values()), graph.outputs
    size, count = list(file.header.preprocessing.size), len(file.header.names)
    fits = (
        len(inputs) == 1
        and inputs[0][1:] == [3, *size]
        and {"logits", "scores"} <= outputs.keys()
        and outputs["logits"][1:] == [count]
        and ("features" in outputs or not file.graphs)
    )
    if not fits:
        raise LookcloserError(
            f"{file.path}: its network does not fit its header, which names {count:,} classes and "
            f"images of {size[0]} × {size[1]}",
            fix="The file was changed after the export; take the original",
        )


# Outputs by name: how many axes each has, the images first.
_AXES = {"saliency_map": 4, "part_maps": 4, "boxes": 3, "distances": 1, "features": 4}


def _sane(found: dict[str, NDArray[Any]], images: int, classes: int) -> bool:
    """Whether outputs have the shapes that an answer is made from, and numbers in them."""
    given = {name: found[name] for name in _AXES if name in found}
    fits = all(
        array.ndim == _AXES[name] and len(array) == images and 0 not in array.shape[1:][1:]
        for name, array in given.items()
    )
    fits &= all(found[name].shape == (images, classes) for name in ("logits", "scores"))
    fits &= "saliency_map" not in given or given["saliency_map"].shape[1:2] == (classes,)
    fits &= "boxes" not in given or given["boxes"].shape[2:] == (_BOX,)
    return fits and all(
        array.dtype == np.float32 and bool(np.isfinite(array).all())
        for array in (found["logits"], found["scores"], *given.values())
    )


def _have_rows(arrays: State, count: int) -> bool:
    return all(array.ndim > 0 and len(array) == count for array in arrays)


def _are_log_probs(array: NDArray[Any], end: int) -> bool:
    """Whether it is (rows, V), END among the V tokens, and a search may take it for log p."""
    fits = array.ndim == 2 and array.dtype.kind == "f" and array.shape[1] > end
    return fits and bool((array <= TOLERANCE).all())  # NaN is not


def _output(found: dict[str, NDArray[Any]], tokens: Ints) -> ArrayOutput:
    """The outputs with the maps of ``tokens`` (B, K), padded with -1."""
    maps, boxes = found.get("saliency_map"), found.get("boxes")
    chosen = np.maximum(tokens, 0)
    scores = np.take_along_axis(found["scores"], chosen, axis=1)
    return ArrayOutput(
        found["logits"],
        None if maps is None else np.take_along_axis(maps, chosen[..., None, None], axis=1),
        tokens,
        np.where(tokens >= 0, scores, 0),
        boxes=None if boxes is None else boxes[..., :4],
        box_scores=None if boxes is None else boxes[..., 4],
        part_maps=found.get("part_maps"),
        distances=found.get("distances"),
    )


def _above(logits: Floats, threshold: float) -> Ints:
    """(B, C) -> the classes whose score is above the threshold, best first, padded with -1.

    The scores are those that the network compares: before the temperature.
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    counts = (sigmoid(logits) > threshold).sum(axis=1)
    places = np.arange(max(1, counts.max(initial=0)))
    tokens: Ints = np.where(places < counts[:, None], order[:, : len(places)], -1)
    return tokens


def _step_scores(step: Any, state: State, start: int, tokens: Ints) -> NDArray[np.floating[Any]]:
    """(B, K) the probability of each token after those before it."""
    scores = np.zeros(tokens.shape)
    last = np.full(len(tokens), start, dtype=np.int64)
    for place in range(tokens.shape[1]):
        log_probs, state = step(state, last)
        last = tokens[:, place]
        scores[:, place] = np.exp(log_probs[np.arange(len(last)), last])
    return scores


def _logit(scores: NDArray[np.float64]) -> Floats:
    kept = np.clip(scores, SURE, 1 - SURE)
    return np.log(kept / (1 - kept)).astype(np.float32)


def _certified(
    results: Sequence[Hypothesis] | Sequence[SearchResult],
) -> NDArray[np.bool_] | None:
    """(B,) which are proved the most probable; None where the search proves nothing."""
    proofs = [result.certified for result in results if isinstance(result, SearchResult)]
    return np.array(proofs) if proofs else None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
