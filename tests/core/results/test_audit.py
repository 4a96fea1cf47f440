"""An audit in a line, however many classes and images it has."""

import json
from dataclasses import replace

import numpy as np

from lookcloser.core.results.audit import Audit, AuditedClass, Level, Look


def audited(name: str, level: Level = "none") -> AuditedClass:
    grid = np.zeros((50, 50))
    average = np.zeros((50, 50, 3), np.uint8)
    reasons = () if level == "none" else ("a mark",)
    return AuditedClass(
        name, 12, 0.5648, level, reasons, {"same detail": 0.5}, grid.astype(np.float32), grid > 0,
        average, (),
    )  # fmt: skip


def test_a_class_is_a_line() -> None:
    assert repr(audited("wren")) == "AuditedClass('wren', 12 images, suspicion 0.56, not flagged)"
    assert "used by the model" in repr(audited("wren", "model"))


def test_an_audit_names_what_is_flagged() -> None:
    clean = Audit("test", (audited("wren"), audited("robin")), {}, {})
    assert repr(clean) == "Audit(2 classes of test, flagged: none)"
    flagged = Audit("val", tuple(audited(f"c{n}", "data") for n in range(200)), {}, {})
    assert repr(flagged) == (
        "Audit(200 classes of val, flagged: 'c0', 'c1', 'c2', 'c3', 'c4' and 195 more)"
    )


def test_an_audit_as_json_has_no_images_and_keeps_the_ranking() -> None:
    marked, used = audited("wren", "data"), audited("robin", "model")
    look = Look(7, marked.heatmap, marked.average, (0, 0, 4, 4))
    marked = replace(marked, looks=(look, replace(look, count=5)))
    audit = Audit("test", (used, marked, audited("owl")), {}, {"images": "36"}, (("a", "cut"),))
    found = json.loads(json.dumps(audit.to_dict()))
    assert list(found) == ["split", "flagged", "classes", "settings", "skipped"]
    assert found["flagged"] == ["robin", "wren"]
    assert found["skipped"] == [["a", "cut"]]
    assert [one["name"] for one in found["classes"]] == ["robin", "wren", "owl"]
    robin, wren, owl = found["classes"]
    assert (robin["level"], robin["flagged"], robin["reasons"]) == ("model", True, ["a mark"])
    assert (owl["level"], owl["flagged"]) == ("none", False)
    assert wren["looks"] == [7, 5]
    assert wren["place"] == [[0] * 50] * 50
    assert wren["measures"] == {"same detail": 0.5}


def test_classes_of_a_level_come_in_the_order_of_the_ranking() -> None:
    levels: list[Level] = ["model", "data", "model", "none"]
    names = ("d", "a", "b", "c")
    audit = Audit("test", tuple(map(audited, names, levels)), {}, {})
    assert audit.at("model") == ("d", "b")
    assert audit.at("data") == ("a",)
    assert audit.at("none") == ("c",)
    assert audit.flagged == ("d", "a", "b")
