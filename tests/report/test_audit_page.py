import numpy as np
import pytest
from PIL import Image

from lookcloser.core.audit import Audit, AuditedClass, Look
from lookcloser.report import write_audit
from lookcloser.report.audit_page import SHOWN, outlined

EVIL = '<script>alert(1)</script> & "quotes"'
EXPLAINED = {"score": "its score", "border attention": "its lift", "kinds": "how many"}


def audited(name, suspicion, photo, **changes):
    place = np.zeros((8, 8), bool)
    place[6:, 5:] = True
    values = {
        "name": name,
        "images": 20,
        "suspicion": suspicion,
        "flagged": suspicion >= 1,
        "reasons": ("A reason <b>.",) if suspicion >= 1 else (),
        "measures": {"score": 0.75, "border attention": 1.5, "kinds": 2.0},
        "heatmap": np.eye(4, dtype=np.float32),
        "place": place,
        "average": np.full((64, 64, 3), 120, np.uint8),
        "looks": (
            Look(15, np.eye(4, dtype=np.float32), photo, (100.0, 60.0, 300.0, 240.0)),
            Look(5, np.eye(4, dtype=np.float32), np.zeros((30, 40, 3), np.uint8), None),
        ),
    }
    return AuditedClass(**(values | changes))


@pytest.fixture
def found(photos):
    classes = [audited(EVIL, 3.0, photos[0])]
    classes += [audited(f"class {n}", 0.5 - n / 100, photos[n % 8]) for n in range(9)]
    skipped = ((f"{EVIL}.jpg", "truncated"),)
    return Audit("test", tuple(classes), EXPLAINED, {"images": "200"}, skipped)


def test_the_page_says_what_was_found(found, tmp_path, parse):
    path = write_audit(tmp_path / "deep" / "a.html", found, about={"method": "cam"}, title="T")
    page = parse(path.read_text(encoding="utf-8"))
    assert "1 of 10 classes may be right for the wrong reason" in page.text
    assert "A reason <b>." in page.text
    assert "75\u202f%" in page.text
    assert "1.5×" in page.text
    assert len(page.having(class_="suspect is-flagged")) == 1
    assert len(page.having(class_="suspect")) == SHOWN - 1
    assert "class 8" in page.text, "in the table"
    assert "truncated" in page.text


def test_everything_is_escaped_and_nothing_is_loaded(found, tmp_path, parse):
    text = write_audit(tmp_path / "a.html", found).read_text(encoding="utf-8")
    page = parse(text)
    assert page.scripts == []
    assert "script" not in {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        source = attributes.get("src") or attributes.get("href") or ""
        assert source.startswith(("data:image/jpeg", "#")) or not source, (tag, source)
    assert "default-src 'none'" in text


def test_every_flagged_class_is_shown(photos, tmp_path, parse):
    classes = tuple(audited(f"c{n}", 2.0, photos[0]) for n in range(SHOWN + 3))
    path = write_audit(tmp_path / "a.html", Audit("test", classes, EXPLAINED, {}))
    assert len(parse(path.read_text()).having(class_="suspect is-flagged")) == SHOWN + 3


def test_without_suspicion_it_says_so(photos, tmp_path, parse):
    one = Audit("test", (audited("a", 0.1, photos[0]),), EXPLAINED, {})
    text = parse(write_audit(tmp_path / "a.html", one).read_text()).text
    assert "None of 1 classes is flagged" in text


def test_a_picture_that_is_gone_leaves_no_hole(photos, tmp_path, parse):
    lost = Look(20, np.eye(4, dtype=np.float32), tmp_path / "gone.jpg", (0.0, 0.0, 9.0, 9.0))
    one = Audit("test", (audited("a", 2.0, photos[0], looks=(lost,)),), EXPLAINED, {})
    page = parse(write_audit(tmp_path / "a.html", one).read_text())
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 2


def test_the_same_audit_gives_the_same_bytes(found, tmp_path):
    one, two = (write_audit(tmp_path / name, found) for name in ("a.html", "b.html"))
    assert one.read_bytes() == two.read_bytes()


def test_cells_are_outlined_where_they_end():
    cells = np.zeros((4, 4), bool)
    cells[1:3, 2:] = True
    image = Image.new("RGB", (81, 81), "black")
    drawn = np.asarray(outlined(image, cells)).any(axis=2)
    assert drawn[20:61, 39:41].any(axis=1).all(), "left"
    assert drawn[19:22, 40:80].any(axis=0).all(), "top"
    assert drawn[59:62, 40:80].any(axis=0).all(), "bottom"
    assert not drawn[30:50, 45:75].any(), "not inside"
    assert not drawn[:15].any()
    assert not np.asarray(image).any(), "the caller's picture stays"


def test_no_cells_no_line():
    image = Image.new("RGB", (40, 40), "black")
    assert not np.asarray(outlined(image, np.zeros((8, 8), bool))).any()
