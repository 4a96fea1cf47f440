"""The object people hold: a trained network that answers with evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import nn

from lookcloser.annotation import Annotation, annotate
from lookcloser.auditing import audit
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.images import ImageSource
from lookcloser.core.results.audit import Audit
from lookcloser.core.types import Evaluation, Region
from lookcloser.data import Catalog, read_to_score
from lookcloser.evaluation import ViewScores, evaluate_data, rate_split
from lookcloser.inference.devices import usable_device
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.explaining import AnyEngine, explain_image, explain_labels
from lookcloser.inference.stock import StockEngine
from lookcloser.models import Model, save_model_file
from lookcloser.models.package import model_place
from lookcloser.runtime import Answerer
from lookcloser.runtime.spread import Spread

if TYPE_CHECKING:
    from lookcloser.recognizer.exporting import ExportResult
    from lookcloser.recognizer.pushing import Pushed, PushKeywords
    from lookcloser.recognizer.reporting import AuditPage, ReportPage

STOCK = "timm:"


class Recognizer(Answerer):
    """A trained network with its names and preprocessing.

    Made by `load` and `train`. Calls may come from several threads; the network is not changed.

    Args:
        model: The network: a `Model`, or any classifier of timm.
        header: What belongs to it.
        device: Where it runs; None takes a GPU where there is one.
        folder: The run it was loaded from, if any.
    """

    def __init__(
        self,
        model: nn.Module,
        header: ModelHeader,
        *,
        device: str | torch.device | None = None,
        folder: Path | None = None,
    ) -> None:
        self.device = usable_device(device)
        self.model = model.eval().to(self.device)
        self.header = header
        self.folder = folder

    @property
    def engine(self) -> AnyEngine:
        """What runs the network; its batches share what `Model.session` keeps."""
        if isinstance(self.model, Model):
            return TorchEngine(self.model, self.header, self.device)
        return StockEngine(self.model, self.header, self.device)

    def __repr__(self) -> str:
        named = "words" if self.header.task == "captioning" else "classes"
        return (
            f"Recognizer({self.header.method}, {self.header.arguments.get('backbone')}, "
            f"{len(self.names)} {named}, {self.device})"
        )

    def evaluate(self, data: str | Path | Catalog, split: str = "test") -> dict[str, float]:
        """Scores on one split; see `evaluation` for names, conventions and errors."""
        return self.evaluation(data, split, evidence=0).metrics

    def evaluation(
        self,
        data: str | Path | Catalog,
        split: str = "test",
        *,
        threshold_from: str = "val",
        evidence: int | None = None,
        batch_size: int = 32,
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
        spread: Spread | None = None,
    ) -> Evaluation:
        """Everything measured on one split: scores, intervals, and each answer with its evidence.

        Args:
            data: A data set of any layout, or a `Catalog`.
            split: Which part of it.
            threshold_from: Whose boxes the localization thresholds are chosen on: those of "val" (a
                separate split; a data set without one falls back to "split"), of "few:N" images of
                val, of "split" (the scored one, as in the published protocol; optimistic), or
                "none", which fixes them. The settings say what was used.
            evidence: How many answers of each gallery of a report (the worst, the surest, the
                lowest IoU, random ones) keep their maps; None keeps every answer, and memory grows
                with the data; 0 keeps none. Scores are the same.
            batch_size: Images per forward pass.
            workers: Loading processes.
            progress: Told (done, total) images after each batch.
            spread: Runs the network elsewhere, such as `lookcloser.batch.RaySpread`; scores are
                made here.

        Raises:
            LookcloserError: For data that cannot be read, a split or a class that is not there.
        """
        return evaluate_data(
            self.trained_engine(), self.catalog(data), split, threshold_from=threshold_from,
            evidence=evidence, batch_size=batch_size, workers=workers, progress=progress,
            spread=spread,
        )  # fmt: skip

    def rate_views(
        self,
        data: str | Path | Catalog,
        split: str = "test",
        views: Sequence[str] | None = None,
        *,
        images: int = 24,
        seed: int = 0,
        batch_size: int = 32,
    ) -> dict[str, ViewScores]:
        """Rate views: whether they point at what the answers depend on, and depend on the weights.

        Each image is explained for its best class; true answers are not used. The scores are those
        of `lookcloser.metrics`: `deletion` and `insertion` in 20 steps from and to an image of its
        own mean color, `road` at 4 shares, and `sanity_check` with all weights random. For each
        image and view this takes 50 forward passes, and 3 times the view itself.

        Args:
            data: As in `evaluation`.
            split: Which part of it.
            views: As in `explain`.
            images: How many, drawn from the split; all where it has no more. Those that cannot be
                read are left out.
            seed: Of the draw, of random maps and weights, and of the order of equal pixels.
            batch_size: Images per forward pass, and in memory.

        Returns:
            Means by view, then of random maps of each resolution that the views have, as the
            reference: "random map WIDTH × HEIGHT". Compare a view with the one of its resolution.

        Raises:
            LookcloserError: As `evaluation` and `explain`, also for a captioner, and for ``images``
                below 1.
        """
        how = {"images": images, "seed": seed, "batch_size": batch_size}
        return rate_split(self.trained_engine(), self.catalog(data), split, views, **how)

    def explain(
        self,
        image: ImageSource,
        views: Sequence[str] | None = None,
        *,
        target: str | int | None = None,
    ) -> dict[str, Region]:
        """Explain one image by several views.

        Args:
            image: As in `predict`, one.
            views: Names in `lookcloser.explain.VIEWS`; None takes cam, gradcam and saliency, and
                "all" every view, both without those that this network does not have.
            target: The class to explain by its name or number; None takes the first label of the
                answer. `explain_labels` takes several.

        Returns:
            A "map" region per view. Of an answer that looked into boxes, "derivative" also gives
            two "scale" regions per box, with the way in which the derivatives of the class score
            and of the ranking loss would move it.

        Raises:
            LookcloserError: For an unknown view or class, an image that cannot be read, and a
                captioner, whose `predict` gives a map for each word.
        """
        return explain_image(self.engine, image, views, target=target)

    def explain_labels(
        self,
        image: ImageSource,
        views: Sequence[str] | None = None,
        *,
        labels: Sequence[str | int] | None = None,
    ) -> dict[str, tuple[Region, ...]]:
        """Explain one image by several views, for several labels at once.

        Of a sequence of labels each is seen at its own step, so that the evidence is seen to shift
        from one to the next; see `Model.following`.

        Args:
            image: As in `predict`, one.
            views: As in `explain`; all labels share the passes of a view.
            labels: Their names or numbers; None takes every label of the answer, in its order.

        Returns:
            Per view one region per label: "step" regions for a sequence of answered labels, "map"
            regions otherwise.

        Raises:
            LookcloserError: As `explain`, and for an answer without any label.
        """
        return explain_labels(self.engine, image, views, labels=labels)

    def annotate(self, data: str | Path | Catalog, out: str | Path, **options: Any) -> Annotation:
        """Write pseudo-boxes for every image of a folder or data set.

        Args:
            data: A data set of any layout, a folder of images without labels, or a `Catalog`.
            out: The folder to write to; nothing is written outside of it.
            **options: Of `lookcloser.annotation.annotate`.

        Raises:
            LookcloserError: See `lookcloser.annotation.annotate`.
        """
        return annotate(self.engine, data, out, **options)

    def audit(self, data: str | Path | Catalog, split: str = "test", **options: Any) -> Audit:
        """Find classes that are right for the wrong reason: a mark, a background, a frame.

        Args:
            data: A data set of any layout, or a `Catalog`. No box of it is used.
            split: Which part of it.
            **options: Of `lookcloser.auditing.audit`.

        Raises:
            LookcloserError: See `lookcloser.auditing.audit`.
        """
        return audit(self.trained_engine(), data, split, **options)

    def report(
        self,
        data: str | Path | Catalog,
        split: str = "test",
        *,
        out: str | Path | None = None,
        threshold_from: str = "val",
        audited: bool | Audit = False,
        **options: Any,
    ) -> ReportPage:
        """Evaluate on a split and write one self-contained HTML page.

        Args:
            data: A data set of any layout, or a `Catalog`.
            split: Which part of it.
            out: The file; None writes report.html into the run.
            threshold_from: See `evaluation`.
            audited: Whether the page gets an audit of the same split: True makes one, an `Audit`
                that was made before is shown as it is.
            **options: ``batch_size``, ``workers`` and ``progress`` of `evaluation`.

        Returns:
            The file, and what was measured.

        Raises:
            LookcloserError: As `evaluation` and `audit`; also for a model from a single file
                without ``out``.
        """
        from lookcloser.recognizer.reporting import write_report_page

        options |= {"threshold_from": threshold_from}
        return write_report_page(self, data, split, out=out, audited=audited, **options)

    def audit_report(
        self,
        data: str | Path | Catalog,
        split: str = "test",
        *,
        out: str | Path | None = None,
        **options: Any,
    ) -> AuditPage:
        """As `audit`, written as one HTML page.

        Args:
            data: As in `audit`.
            split: Which part of it.
            out: The file; None writes audit.html into the run.
            **options: Of `audit`.

        Returns:
            The file, and what was found.

        Raises:
            LookcloserError: As `audit`; also for a model from a single file without ``out``.
        """
        from lookcloser.recognizer.reporting import write_audit_page

        return write_audit_page(self, data, split, out=out, **options)

    def export(
        self,
        out: str | Path | None = None,
        *,
        int8: bool = False,
        calibrate: str | Path | None = None,
        form: str = "onnx",
        ort: str | Path | None = None,
    ) -> ExportResult:
        """Write one .onnx file, or a folder with a web page, that answers without torch; check it.

        It is compared with this model, on images of the run's data where that is still there.

        Args:
            out: The file or the folder; None writes model.onnx or web/ into the run.
            int8: Compute in 8 bits: smaller, faster, less exact; the result says by how much.
            calibrate: Of ``int8``: a folder of images; None takes 128 of the run's training data.
            form: "onnx", or "web": a folder for any static host, which answers in the browser; see
                `lookcloser.recognizer.targets`.
            ort: Of "web": the npm package onnxruntime-web, "cdn", or None, see `lookcloser.web`.

        Raises:
            LookcloserError: For a network that cannot be exported, or whose file answers otherwise;
                where a package is missing, or something else is in the place of the result.
        """
        from lookcloser.recognizer.exporting import export_run

        return export_run(self, out, int8=int8, calibrate=calibrate, form=form, ort=ort)

    def push(self, repository: str, **options: Unpack[PushKeywords]) -> Pushed:
        """Send the model to the Hugging Face hub, with a model card; `load` takes it from there.

        Args:
            repository: "OWNER/NAME"; made where it is not there.
            **options: See `lookcloser.recognizer.pushing.PushKeywords`.

        Raises:
            LookcloserError: As `evaluation`; without a token or network; for a stock classifier.
        """
        from lookcloser.recognizer.pushing import push_run

        return push_run(self, repository, **options)

    def save(self, path: str | Path) -> Path:
        """Write the model to one .safetensors file that `load` reads; returns the path.

        Raises:
            LookcloserError: For a place where something else is, and where writing fails.
        """
        return save_model_file(model_place(path), self.model.state_dict(), self.header)

    def trained_engine(self) -> TorchEngine:
        """The engine of a trained run, for what a stock classifier cannot be asked."""
        engine = self.engine
        if isinstance(engine, TorchEngine):
            return engine
        name = self.header.arguments["backbone"]
        raise UsageError(
            f"{STOCK}{name}: a stock classifier, whose classes are not those of your data",
            fix=f"Train it first: `lookcloser train DATA --backbone {name}`",
        )

    def catalog(self, data: str | Path | Catalog, *, columns: str | None = None) -> Catalog:
        """A data set for the task of this model, read as `lookcloser.data.read_to_score` does.

        Raises:
            LookcloserError: For one that cannot be read, or is for another task.
        """
        catalog = (
            data if isinstance(data, Catalog) else read_to_score(data, self.header, columns=columns)
        )
        if catalog.task != self.header.task:
            raise LookcloserError(
                f"{catalog.root}: a data set for {catalog.task}",
                allowed=f"This model answers {self.header.task}.",
            )
        return catalog
