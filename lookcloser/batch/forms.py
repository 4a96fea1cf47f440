"""The forms of answers on disk: JSON lines, CSV, Parquet.

On the way every form is a line of JSON for each image, with its number; a whole part of them is
then written in the form that was asked for.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lookcloser.core.extras import needed
from lookcloser.core.results.showing import ROW_NAMES
from lookcloser.core.storage.cells import safe_rows
from lookcloser.core.types import Prediction
from lookcloser.core.wording import encodable

Record = dict[str, Any]


class Form(ABC):
    """How the answers of a part are written.

    Attributes:
        suffix: Of its files.
        needs: The package that writes them, where it is none of Python's own.
        holds_maps: Whether there is a place for heatmaps.
    """

    suffix: str
    needs: str | None = None
    holds_maps = True

    def record(self, prediction: Prediction, maps: bool) -> Record:
        """What is kept of an answer, JSON-ready; heatmaps only where ``maps`` asks for them."""
        if not maps:
            regions = tuple(replace(region, heatmap=None) for region in prediction.regions)
            prediction = replace(prediction, regions=regions)
        return prediction.to_dict()

    def check(self) -> None:
        """Raise a `LookcloserError` where what writes this is not installed."""
        if self.needs is not None:
            needed(self.needs, f"--format {self.suffix[1:]}")

    @abstractmethod
    def write(self, path: Path, lines: Sequence[str]) -> None:
        """Write the answers of a part, each a line of `record` with its "index"."""

    @abstractmethod
    def counts(self, path: Path) -> tuple[int, int]:
        """How many images are in a part that was written, and how many could not be read."""


class JsonLines(Form):
    """One JSON object a line: `Prediction.to_dict` and "index"."""

    suffix = ".jsonl"

    def write(self, path: Path, lines: Sequence[str]) -> None:
        """See `Form`."""
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)

    def counts(self, path: Path) -> tuple[int, int]:
        """See `Form`."""
        with path.open(encoding="utf-8") as file:
            failed = [json.loads(line)["error"] is not None for line in file]
        return len(failed), sum(failed)


class Csv(Form):
    """A row for each label of each image: `Prediction.to_rows` and "index"."""

    suffix, holds_maps = ".csv", False

    def record(self, prediction: Prediction, maps: bool) -> Record:
        """See `Form`; a table has no maps."""
        del maps
        return {"rows": prediction.to_rows()}

    def write(self, path: Path, lines: Sequence[str]) -> None:
        """See `Form`."""
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, ("index", *ROW_NAMES))
            writer.writeheader()
            for line in lines:
                values = json.loads(line)
                writer.writerows(
                    {"index": values["index"], **row} for row in safe_rows(values["rows"])
                )

    def counts(self, path: Path) -> tuple[int, int]:
        """See `Form`."""
        with path.open(newline="", encoding="utf-8") as file:
            failed = {row["index"]: bool(row["error"]) for row in csv.DictReader(file)}
        return len(failed), sum(failed.values())


class Parquet(Form):
    """A row for each image, its labels and regions as lists of structures."""

    suffix, needs = ".parquet", "pyarrow"

    def write(self, path: Path, lines: Sequence[str]) -> None:
        """See `Form`."""
        arrow = needed("pyarrow", "Parquet")
        parquet = needed("pyarrow.parquet", "Parquet")
        rows = [json.loads(line) for line in lines]
        for row in rows:
            row["path"] = encodable(row["path"])
            row["error"] = None if row["error"] is None else encodable(row["error"])
            row["width"], row["height"] = row.pop("size")
        table = arrow.Table.from_pylist(rows, schema=_schema(arrow))
        parquet.write_table(table, path, compression="zstd")

    def counts(self, path: Path) -> tuple[int, int]:
        """See `Form`."""
        parquet = needed("pyarrow.parquet", "Parquet")
        column = parquet.read_table(path, columns=["error"]).column(0)
        return len(column), len(column) - int(column.null_count)


def _schema(arrow: Any) -> Any:
    text, real, whole = arrow.string(), arrow.float64(), arrow.int64()
    label = arrow.struct([("name", text), ("score", real), ("index", whole)])
    region = arrow.struct(
        [
            ("kind", text),
            ("label", text),
            ("score", real),
            ("box", arrow.list_(real)),
            ("heatmap", arrow.list_(arrow.list_(arrow.float32()))),
            ("step", whole),
            ("move", arrow.list_(real)),
        ]
    )
    return arrow.schema(
        [
            ("index", whole),
            ("task", text),
            ("path", text),
            ("width", whole),
            ("height", whole),
            ("labels", arrow.list_(label)),
            ("caption", text),
            ("regions", arrow.list_(region)),
            ("error", text),
            ("candidates", arrow.list_(label)),
            ("coverage", real),
            ("refusal", text),
            ("group", label),
        ]
    )


FORMS: dict[str, Form] = {"jsonl": JsonLines(), "csv": Csv(), "parquet": Parquet()}
