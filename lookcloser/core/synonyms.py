"""Names that other tools give to our verbs and options, so that an error can say what is meant."""

from __future__ import annotations

from collections.abc import Collection

# ultralytics, timm, Lightning, the Hugging Face libraries and Keras, in the spelling of Python.
_NAMES: dict[str, tuple[str, ...]] = {
    "backbone": ("arch", "architecture", "encoder", "model", "model_name", "network"),
    "batch_size": ("batch", "bs", "train_batch_size"),
    "columns": ("column", "fields"),
    "device": ("accelerator", "cuda", "gpu"),
    "devices": ("gpus", "num_gpus", "num_processes"),
    "drop_rate": ("dropout",),
    "epochs": ("max_epochs", "num_epochs", "num_train_epochs"),
    "min_score": ("conf", "confidence", "min_confidence", "score_threshold"),
    "lr": ("learning_rate", "lr0", "max_lr"),
    "optimizer": ("opt",),
    "out": ("dest", "output", "output_dir", "project", "save_dir"),
    "patience": ("early_stopping",),
    "precision": ("amp", "dtype", "fp16", "half"),
    "resume": ("checkpoint", "ckpt", "ckpt_path"),
    "save": ("output", "save_path"),
    "seed": ("random_seed", "random_state"),
    "size": ("image_size", "img_size", "imgsz", "input_size", "resolution"),
    "top": ("k", "top_k", "topk"),
    "view": ("method", "views"),
    "weights": ("init", "pretrained"),
    "workers": ("num_workers", "threads"),
    # verbs
    "annotate": ("boxes", "label", "localize"),
    "audit": ("bias", "shortcuts"),
    "evaluate": ("eval", "score", "test", "val", "validate"),
    "explain": ("cam", "gradcam", "heatmap", "visualize"),
    "info": ("doctor", "env", "settings", "version"),
    "predict": ("classify", "infer", "inference", "tag"),
    "serve": ("api", "server"),
    "train": ("finetune", "fine-tune", "fit", "learn"),
}


def meant(name: str, choices: Collection[str]) -> list[str]:
    """Those of ``choices`` that other tools call ``name``, in their order; most often none."""
    return [choice for choice in choices if name.lower() in _NAMES.get(choice, ())]
