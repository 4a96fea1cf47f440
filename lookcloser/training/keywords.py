"""The options of training as keywords, for editors and type checkers.

Written by scripts/write_options.py from what is declared; change an option where it is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class TrainKeywords(TypedDict, total=False):
    """Options of `lookcloser.train`, those of all methods among them."""

    backbone: str
    stride: int | None
    model_kwargs: Mapping[str, Any]
    drop_rate: float
    method: str | None
    recipe: Literal["auto", "closed-form", "fine-tune"]
    budget: float
    zoom: Literal["auto", "off", "1", "2", "3", "4", "5"]
    weights: str
    size: int
    mean: tuple[float, float, float] | None
    std: tuple[float, float, float] | None
    interpolation: Literal["bilinear", "bicubic", "nearest"]
    epochs: int
    batch_size: int
    accumulate: int
    optimizer: Literal["adamw", "sgd"]
    lr: float
    backbone_lr: float | None
    weight_decay: float
    warmup: float
    clip: float
    label_smoothing: float
    augment: Literal["none", "shift", "crop", "trivial"]
    crop_area: float
    flip: bool | None
    erase: float
    mixup: float
    cutmix: float
    balance: Literal["none", "weights", "sampling"]
    freeze_norm: bool | None
    ema: float
    blend: float | None
    patience: int
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"]
    compile: bool
    deterministic: bool
    channels_last: bool
    devices: int
    strategy: Literal["auto", "ddp", "fsdp"]
    workers: int | None
    box_rule: Literal["max", "range"]
    val_share: float
    test_share: float
    columns: str | None
    skip_missing: bool
    save_every: int
    seed: int
    source_size: int | None
    scales: int | None
    half_side: float | None
    crop_mode: Literal["grid", "mask", "saliency"]
    apn: Literal["evidence", "light", "paper"] | None
    train_mode: Literal["alternate", "joint"]
    rank_margin: float
    rank_form: Literal["probability", "log"]
    area_prior: float
    fusion: Literal["mean", "descriptors"]
    parts: int
    part_width: int
    part_head: Literal["pooled", "flattened"]
    merge: Literal["concat", "sum"]
    mamc_weight: float
    mamc_reduction: Literal["paper", "mean"]
    mamc_form: Literal["npair", "hinge"]
    mamc_gather: bool
    images_per_class: int
    threshold: float
    loss: Literal["bce", "asymmetric"]
    label_order: Literal["frequent", "rare", "fixed", "shuffled", "easy", "minimal", "predicted"]
    embed_size: int
    hidden_size: int
    tied: bool
    gate: Literal["sigmoid", "relu"]
    decoder: Literal["beam", "exact"]
    beam: int
    attend: bool
    scheduled_sampling: float
    max_length: int | None
    temperature: float
    top_p: float | None
    min_count: int
    max_words: int | None
    feedback_stage: int | None
    feedback_select: Literal["soft", "predicted"]
    feedback_control: Literal["none", "ones", "shuffled", "literal"]
    noise: float
