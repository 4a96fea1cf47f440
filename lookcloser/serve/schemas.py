"""What comes in and goes out as JSON, for the OpenAPI document and for checking what comes in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lookcloser.core.choices import Task


class LabelSchema(BaseModel):
    """A name with its score."""

    name: str
    score: float
    index: int


class RegionSchema(BaseModel):
    """Where the model looked for a label; see `lookcloser.Region`."""

    kind: Literal["map", "scale", "place", "part", "step", "word"]
    label: str
    score: float
    box: list[float] | None = Field(description="x0, y0, x1, y1 in pixels of the upright image.")
    heatmap: list[list[float]] | str | None = Field(
        description="Values from 0 to 1 over the whole image: rows of numbers, or a PNG in gray as "
        "a data URL."
    )
    step: int | None
    move: list[float] | None


class PredictionSchema(BaseModel):
    """The answer for one image; see `lookcloser.Prediction`."""

    task: Task
    path: str | None = Field(description="The file name that was sent with the image.")
    size: list[int] = Field(description="Width and height of the upright image.")
    labels: list[LabelSchema]
    caption: str | None
    regions: list[RegionSchema]
    error: str | None = Field(description="Why there is no answer for this image.")
    candidates: list[LabelSchema] | None
    coverage: float | None
    refusal: str | None
    group: LabelSchema | None = Field(
        description="The lowest group that is at least as probable as not, where no class is."
    )


class AnswerSchema(BaseModel):
    """Predictions in the order of the images."""

    model: str
    predictions: list[PredictionSchema]


class ExplanationSchema(BaseModel):
    """One image in several views."""

    model: str
    views: dict[str, RegionSchema]


class ModelSchema(BaseModel):
    """A model that is served."""

    name: str
    default: bool = Field(description="Whether it answers where no model is named.")
    task: str
    method: str
    backbone: str | None
    engine: Literal["onnx", "torch"]
    version: str = Field(description="A fingerprint of its weights.")
    input: list[int] = Field(description="Height and width of its input.")
    classes: list[str] = Field(description="Their names; of a captioner its words.")
    coverage: bool = Field(description="Whether it can name all classes that may be true.")
    views: list[str] = Field(description="What /v1/explain can show; empty of exported files.")


class ModelsSchema(BaseModel):
    """All models, the default first."""

    models: list[ModelSchema]


class ReadySchema(BaseModel):
    """Whether requests are taken, and what is wrong with a model that answers nevertheless."""

    status: Literal["ready", "ending"]
    models: dict[str, str]


class HealthSchema(BaseModel):
    """That the server is there."""

    status: str
    model_class: str | None = None


class ProblemSchema(BaseModel):
    """What went wrong, in one sentence (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class VisionRequest(BaseModel):
    """What PhotoPrism asks."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = Field("", max_length=200)
    model: str = Field("", max_length=200)
    images: list[str] = Field(min_length=1, description="Data URLs of one photo.")


class VisionResponse(BaseModel):
    """What PhotoPrism reads."""

    id: str
    code: int
    model: dict[str, Any]
    result: dict[str, Any]


class SetupRequest(BaseModel):
    """What Label Studio sends once for each project."""

    model_config = ConfigDict(extra="ignore", strict=True)

    project: str | int | None = None
    label_config: str | None = Field(None, alias="schema", max_length=2**20)


class SetupResponse(BaseModel):
    """What answers for a project."""

    model_version: str


class TasksRequest(BaseModel):
    """What Label Studio wants pre-annotations of."""

    model_config = ConfigDict(extra="ignore", strict=True)

    tasks: list[dict[str, Any]] = Field(min_length=1)
    label_config: str | None = Field(None, max_length=2**20)


class TasksResponse(BaseModel):
    """A pre-annotation for each task, in order."""

    results: list[dict[str, Any]]
