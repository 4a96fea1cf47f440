"""A whole folder or data set with pseudo-boxes, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookcloser.annotation.class_thresholds import class_thresholds
from lookcloser.annotation.formats import FORMATS, HOLDS_IMAGES, HOLDS_MASKS
from lookcloser.annotation.journal import Journal
from lookcloser.annotation.label_maps import Failed, LabelMaps, LabelsOf, label_maps
from lookcloser.annotation.outlines import (
    bounds,
    largest_part,
    scaled_box,
    segmentation,
    written_area,
)
from lookcloser.annotation.records import Record, Thing
from lookcloser.core.errors import LookcloserError, UsageError, unknown
from lookcloser.core.header import ModelHeader, check_known
from lookcloser.core.sizes import ImageSize
from lookcloser.core.storage.files import list_images, own_path, refuse_other
from lookcloser.core.wording import count, named
from lookcloser.data import READERS, Catalog, Sample, read_as_trained
from lookcloser.metrics.maps import relative
from lookcloser.runtime import Engine
from lookcloser.runtime.regions import upsample
from lookcloser.runtime.spread import Spread

LABELS = ("auto", "given", "predicted")


@dataclass(frozen=True, repr=False)
class Annotation:
    """What was written.

    Attributes:
        files: The files, or the folders of many files.
        records: Every image, in the order of the data.
        boxes: How many boxes.
        resumed: How many images were done before.
        thresholds: Class -> where its maps are cut, between their minimum and maximum.
        notes: How it was done, in sentences.
    """

    files: tuple[Path, ...]
    records: tuple[Record, ...]
    boxes: int
    resumed: int
    thresholds: dict[str, float]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        found = f"{count(self.boxes, 'box')} on {count(len(self.records), 'image')}"
        return f"Annotation({found}, in {named([str(file) for file in self.files])})"

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(name, reason) of the images that could not be read."""
        return tuple((record.name, record.error) for record in self.records if record.error)

    @property
    def empty(self) -> int:
        """How many readable images have no box."""
        return sum(not record.things and not record.error for record in self.records)


def annotate(
    engine: Engine,
    data: str | Path | Catalog,
    out: str | Path,
    *,
    form: str = "coco",
    masks: str | None = None,
    labels: str = "auto",
    split: str | None = None,
    columns: str | None = None,
    min_score: float = 0.0,
    batch_size: int = 32,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    spread: Spread | None = None,
) -> Annotation:
    """Write pseudo-boxes for every image of a folder or data set.

    Each label of an image gets one box, around the largest part of its map; an image without
    evidence for any label gets none. Thresholds come from boxes of the data's val split, where it
    has some (they are the only boxes that are used). What is finished is in ``journal.jsonl``: a
    killed run goes on there, and a finished one can be written in another format at once.

    Args:
        engine: A network for classes or tags.
        data: A data set of any layout, a folder of images without labels, or a `Catalog`.
        out: The folder to write to; nothing is written outside of it.
        form: A name in `FORMATS`.
        masks: Outlines for COCO and YOLO, run lengths for COCO; None writes boxes alone.
        labels: Whose boxes: the "given" labels of the data, those that the model has "predicted",
            or for each image the given ones that the model knows, and where it has none the
            predicted ones ("auto").
        split: One split of the data; None takes all.
        columns: Of a table; see `lookcloser.data.read_as_trained`.
        min_score: Leave out boxes whose class has a lower score.
        batch_size: Images per forward pass.
        workers: Threads that decode images.
        progress: Called with (done, total) images.
        spread: Runs the network elsewhere, such as `lookcloser.batch.RaySpread`; boxes are made
            here.

    Raises:
        LookcloserError: For data that cannot be read, unknown options, a captioner, a method
            without maps, and a folder that was begun with another model or other options.
    """
    header, folder = engine.header, own_path(out)
    _check(header, form, masks)
    samples, boxed, root, notes = _images(data, split, header, columns)
    if form in HOLDS_IMAGES and not all(isinstance(sample.source, Path) for sample in samples):
        raise UsageError(f"{form}: needs images that are files", allowed="coco or csv")
    labels_of = _labels_of(samples, header, labels)
    settings = {"data": str(root.resolve()), "masks": masks, "labels": labels}
    settings["box rule"] = header.box_rule
    journal = Journal(folder)
    thresholds, used = _begin(journal, engine, boxed, settings)
    missing = [sample for sample in samples if _undone(journal, sample)]
    resumed = done = len(samples) - len(missing)
    how = {"batch_size": batch_size, "workers": workers}
    for batch in label_maps(engine, missing, labels_of=labels_of, **how, spread=spread):
        journal.add(_record(item, header, thresholds, masks) for item in batch)
        done += len(batch)
        if progress is not None:
            progress(done, len(samples))
    records = tuple(journal.records[sample.name] for sample in samples)
    written = [_kept(record, min_score) for record in records if record.error is None]
    files = FORMATS[form](folder, written, header.names)
    chosen = (
        f"on {count(used, 'box')} of the split val"
        if used
        else "by the model: no boxes to choose on"
    )
    own = sum(labels_of(sample) is not None for sample in samples)
    said = (
        f"given for {count(own, 'image')}",
        f"predicted for {count(len(samples) - own, 'image')}",
    )
    kinds = [text for number, text in zip((own, len(samples) - own), said, strict=True) if number]
    notes.append(f"labels: {', '.join(kinds)}")
    notes.append(f"thresholds: chosen {chosen}")
    boxes = sum(len(record.things) for record in written)
    return Annotation(tuple(files), records, boxes, resumed, thresholds, tuple(notes))


def count_images(
    header: ModelHeader,
    data: str | Path | Catalog,
    out: str | Path,
    *,
    form: str = "coco",
    masks: str | None = None,
    labels: str = "auto",
    split: str | None = None,
    columns: str | None = None,
) -> int:
    """How many images `annotate` would work on; these arguments are refused as there.

    Args:
        header: Of the network.
        data: As in `annotate`, like the rest.
        out: As there.
        form: As there.
        masks: As there.
        labels: As there.
        split: As there.
        columns: As there.
    """
    _check(header, form, masks)
    samples, *_ = _images(data, split, header, columns)
    _labels_of(samples, header, labels)
    Journal(own_path(out)).check_folder()
    return len(samples)


def _begin(
    journal: Journal,
    engine: Engine,
    boxed: Sequence[Sample],
    settings: dict[str, Any],
) -> tuple[dict[str, float], int]:
    """The thresholds of the classes, from the journal or new, and on how many boxes they rest."""
    settings = {"model": engine.fingerprint(), **settings}
    if journal.settings:
        journal.begin(settings)
        return journal.settings["thresholds"], journal.settings["threshold_boxes"]
    known = set(engine.header.names)
    boxed = [sample for sample in boxed if known.issuperset(sample.labels)]
    found, used = class_thresholds(engine, boxed)
    journal.begin({**settings, "thresholds": found, "threshold_boxes": used})
    return found, used


def _check(header: ModelHeader, form: str, masks: str | None) -> None:
    if header.task == "captioning":
        raise LookcloserError(
            f"{header.method}: writes captions, and boxes are of classes or tags",
            fix="Train a model for classes or tags",
        )
    if form not in FORMATS:
        raise unknown(form, "format", FORMATS)
    if masks is not None and masks not in HOLDS_MASKS.get(form, ()):
        holding = [f"{name} ({', '.join(kinds)})" for name, kinds in HOLDS_MASKS.items()]
        raise UsageError(f"{masks}: no masks that {form} can hold", allowed=f"{'; '.join(holding)}")


def _images(
    data: str | Path | Catalog, split: str | None, header: ModelHeader, columns: str | None
) -> tuple[Sequence[Sample], Sequence[Sample], Path, list[str]]:
    """The samples, those with boxes to choose thresholds on, their folder, and what to say."""
    if not isinstance(data, Catalog):
        refuse_other(data)
    root = data.root if isinstance(data, Catalog) else own_path(data)
    plain = not isinstance(data, Catalog) and root.is_dir() and split is None and not columns
    if plain and not any(r.recognizes(root) for r in READERS):
        names = list_images(root)
        if names:
            samples = [Sample(name, root / name) for name in names]
            return samples, (), root, [f"{root}: {count(len(names), 'image')} without labels"]
    catalog = (
        data
        if isinstance(data, Catalog)
        else read_as_trained(root, header, skip_missing=True, columns=columns)
    )
    boxed = [sample for sample in catalog.samples if sample.split == "val" and sample.boxes]
    notes = [f"left out: {name}: {reason}" for name, reason in catalog.skipped]
    return catalog.split(split) if split else catalog.samples, boxed, catalog.root, notes


def _labels_of(samples: Sequence[Sample], header: ModelHeader, labels: str) -> LabelsOf:
    """Which labels of an image get boxes; None for those of the model's answer."""
    if labels not in LABELS:
        raise unknown(labels, "kind of labels", LABELS)
    if labels == "given":
        check_known((name for sample in samples for name in sample.labels), header)
        return lambda sample: sample.labels
    if labels == "predicted":
        return lambda _sample: None
    known = set(header.names)
    return lambda sample: [name for name in sample.labels if name in known] or None


def _undone(journal: Journal, sample: Sample) -> bool:
    """Whether an image is still to do: new ones, and those that could not be read before."""
    record = journal.records.get(sample.name)
    return record is None or record.error is not None


def _record(
    looked: LabelMaps | Failed, header: ModelHeader, thresholds: dict[str, float], masks: str | None
) -> Record:
    if not isinstance(looked, LabelMaps):
        sample, reason = looked
        return Record(sample.name, _source(sample), sample.split, ImageSize(0, 0), error=reason)
    grid = header.preprocessing.size
    things = []
    large = relative(upsample(looked.maps, grid), header.box_rule) if len(looked.maps) else ()
    for index, score, raw, array in zip(
        looked.classes, looked.scores, looked.maps, large, strict=True
    ):
        name = header.names[index]
        # Evidence against a class everywhere makes no box, however it is spread.
        part = largest_part(array, thresholds[name]) if float(raw.max()) > 0 else None
        if part is None:
            continue
        mask = segmentation(part, looked.size, masks) if masks else None
        box = scaled_box(bounds(part), grid, looked.size)
        things.append(Thing(name, score, box, written_area(box, mask), mask))
    sample = looked.sample
    return Record(sample.name, _source(sample), sample.split, looked.size, tuple(things))


def _kept(record: Record, min_score: float) -> Record:
    things = tuple(thing for thing in record.things if thing.score >= min_score)
    return Record(record.name, record.source, record.split, record.size, things)


def _source(sample: Sample) -> str:
    return str(sample.source) if isinstance(sample.source, Path) else ""
