"""Requests as Label Studio sends them."""

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")


def ask(client, tasks, config=None, **params):
    body = {"tasks": tasks, "project": "1.1700000000", "model_version": "x", "params": params}
    return client.post("/predict", json=body | ({} if config is None else {"label_config": config}))


def task(url, field="image", number=1):
    return {"id": number, "data": {field: url}, "annotations": [], "meta": {}}
