"""An audit in a line, however many classes and images it has."""

import numpy as np

from lookcloser.core.results.audit import Audit, AuditedClass, Level


def audited(name: str, level: Level = "none") -> AuditedClass:
    grid = np.zeros((50, 50))
    average = np.zeros((50, 50, 3), np.uint8)
    reasons = () if level == "none" else ("a mark",)
    return AuditedClass(
        name, 12, 0.5648, level, reasons, {"same detail": 0.5}, grid.astype(np.float32), grid > 0,
        average, (),
    )  # fmt: skip


def test_a_class_is_a_line():
    assert repr(audited("wren")) == "AuditedClass('wren', 12 images, suspicion 0.56, not flagged)"
    assert "used by the model" in repr(audited("wren", "model"))


def test_an_audit_names_what_is_flagged():
    clean = Audit("test", (audited("wren"), audited("robin")), {}, {})
    assert repr(clean) == "Audit(2 classes of test, flagged: none)"
    flagged = Audit("val", tuple(audited(f"c{n}", "data") for n in range(200)), {}, {})
    assert repr(flagged) == (
        "Audit(200 classes of val, flagged: 'c0', 'c1', 'c2', 'c3', 'c4' and 195 more)"
    )
