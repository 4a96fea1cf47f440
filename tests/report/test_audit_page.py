from dataclasses import replace

import numpy as np
from PIL import Image

from lookcloser.core.results.audit import LEVELS, Look
from lookcloser.report import write_audit
from lookcloser.report.audit_blocks import SHOWN, outlined, verdict


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


def test_every_flagged_class_is_shown(photos, make_audit, tmp_path, parse):
    many = make_audit(*((f"c{n}", 2.0, photos[0]) for n in range(SHOWN + 3)))
    path = write_audit(tmp_path / "a.html", many)
    assert len(parse(path.read_text()).having(class_="suspect is-flagged")) == SHOWN + 3


def test_a_mark_in_the_data_is_told_from_one_that_is_used(photos, make_audit, tmp_path, parse):
    one = make_audit(("a", 1.0, photos[0]), level="data")
    page = parse(write_audit(tmp_path / "a.html", one).read_text())
    words = "1 of 1 classes has a shared detail in the data that this model does not use: a."
    assert words in page.text
    assert "wrong reason" not in page.text
    assert len(page.having(class_="suspect is-flagged is-unused")) == 1
    assert len(page.having(class_="level level-data")) == 1


def test_both_levels_have_their_sentence(photos, make_audit):
    used, unused = (make_audit((n, 2.0, photos[0]), level=lev).classes[0]
                    for n, lev in (("u", "model"), ("d", "data")))  # fmt: skip
    both = replace(make_audit(), classes=(used, unused))
    assert both.flagged == ("u", "d")
    assert [both.at(level) for level in LEVELS] == [(), ("d",), ("u",)]
    first, second = verdict(both)
    assert first == "1 of 2 classes may be right for the wrong reason: u."
    assert second.endswith("that this model does not use: d.")


def test_without_suspicion_it_says_so(photos, make_audit, tmp_path, parse):
    one = make_audit(("a", 0.1, photos[0]))
    text = parse(write_audit(tmp_path / "a.html", one).read_text()).text
    assert "None of 1 classes is flagged" in text


def test_a_image_that_is_gone_leaves_no_hole(photos, make_audit, tmp_path, parse):
    lost = Look(20, np.eye(4, dtype=np.float32), tmp_path / "gone.jpg", (0.0, 0.0, 9.0, 9.0))
    one = make_audit(("a", 2.0, photos[0]), looks=(lost,))
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
