import csv
import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from torchvision.datasets import CocoDetection, VOCDetection, wrap_dataset_for_transforms_v2

from lookcloser.annotation.formats import FORMATS
from lookcloser.annotation.records import Record, Thing
from lookcloser.data import read_data

# pycocotools 2.0.11 answers NumPy 2's call of __array__ in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = ("cat", 'a "wild" <dog> & co', "owl, snowy")
SQUARE = [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]]
RUNS = {"size": [30, 40], "counts": [33, 4, 26, 4, 1133]}


@pytest.fixture
def data(tmp_path):
    """Three pictures on the disk, and what was found on them."""
    root = tmp_path / "data"
    names = ["train/x & y/1.png", "val/=cmd,2.jpg", "val/plain.jpg"]
    records = []
    things = (
        (Thing(NAMES[0], 0.75, (2.0, 3.0, 12.0, 9.0), 60.0, SQUARE),
         Thing(NAMES[1], 0.5, (0.4, 0.4, 40.0, 30.0), 1180.0, RUNS)),
        (Thing(NAMES[2], 0.25, (10.6, 5.5, 20.2, 15.1), 90.0),),
        (),
    )  # fmt: skip
    for name, found in zip(names, things, strict=True):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(path)
        records.append(Record(name, str(path), name.split("/")[0], (40, 30), found))
    return root, records


def written(form, data, tmp_path):
    root, records = data
    before = sorted(tmp_path.rglob("*"))
    files = FORMATS[form](tmp_path / "out", records, NAMES)
    new = set(tmp_path.rglob("*")) - set(before)
    assert all((tmp_path / "out") in [path, *path.parents] for path in new), "nothing outside"
    assert not any(path.name.endswith(".tmp") for path in new)
    return root, files


def test_coco_is_read_by_pycocotools(data, tmp_path):
    _, (path,) = written("coco", data, tmp_path)
    coco = COCO(path)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(NAMES)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [a["bbox"] for a in found] == [[2, 3, 10, 6], [0.4, 0.4, 39.6, 29.6]]
    assert [a["score"] for a in found] == [0.75, 0.5]
    assert coco.annToMask(found[0]).sum() == 60
    mask = coco.annToMask(found[1])
    assert mask.shape == (30, 40)
    assert np.argwhere(mask).min(axis=0).tolist() == [3, 1]
    assert mask.sum() == 8
    assert [image["file_name"] for image in coco.loadImgs([1, 2])] == [r.name for r in data[1][:2]]


def test_coco_detections_can_be_scored_against_themselves(data, tmp_path):
    """The scores and ids are what pycocotools' own evaluation takes."""
    from pycocotools.cocoeval import COCOeval

    _, (path,) = written("coco", data, tmp_path)
    coco = COCO(path)
    rows = [
        {key: a[key] for key in ("image_id", "category_id", "bbox", "score")}
        for a in coco.dataset["annotations"]
    ]
    scored = COCOeval(coco, coco.loadRes(rows), "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1.0)


def test_coco_is_read_by_torchvision(data, tmp_path):
    root, (path,) = written("coco", data, tmp_path)
    own = wrap_dataset_for_transforms_v2(CocoDetection(root, path), target_keys=["boxes", "labels"])
    image, target = own[0]
    assert image.size == (40, 30)
    np.testing.assert_allclose(target["boxes"].numpy()[0], [2, 3, 12, 9])
    assert target["labels"].tolist() == [1, 2]


def test_voc_is_read_by_torchvision(data, tmp_path):
    written("voc", data, tmp_path)
    train = VOCDetection(tmp_path / "out", "2012", "train", download=False)
    assert len(train) == 1
    image, target = train[0]
    assert image.size == (40, 30)
    entries = target["annotation"]["object"]
    assert [entry["name"] for entry in entries] == [NAMES[0], NAMES[1]]
    assert entries[0]["bndbox"] == {"xmin": "3", "ymin": "4", "xmax": "12", "ymax": "9"}
    assert entries[1]["bndbox"] == {"xmin": "1", "ymin": "1", "xmax": "40", "ymax": "30"}
    assert float(entries[0]["score"]) == 0.75
    assert len(VOCDetection(tmp_path / "out", "2012", "val", download=False)) == 2
    assert len(VOCDetection(tmp_path / "out", "2012", "trainval", download=False)) == 3


def test_voc_is_read_by_our_own_reader(data, tmp_path):
    written("voc", data, tmp_path)
    catalog = read_data(tmp_path / "out")
    assert catalog.layout == "PASCAL VOC"
    found = {sample.name: sample for sample in catalog.samples}
    first = found["JPEGImages/train_x_y_1.jpg"]
    assert dict(first.boxes)[NAMES[0]] == (2, 3, 12, 9)
    assert first.split == "train"
    assert set(catalog.names) == set(NAMES)


def test_voc_escapes_what_xml_cannot_hold(data, tmp_path):
    root, records = data
    name = "bad\x01\x1f]]>\ud800.png"
    odd = Record(name, records[0].source, "train", (40, 30),
                 (Thing("</name><x>\x00", 0.5, (0.0, 0.0, 5.0, 5.0), 25.0),))  # fmt: skip
    FORMATS["voc"](tmp_path / "out", [odd], ["</name><x>\x00"])
    (path,) = (tmp_path / "out/VOCdevkit/VOC2012/Annotations").iterdir()
    root = ElementTree.parse(path).getroot()
    assert root.findtext("object/name") == "</name><x>\ufffd"
    assert root.find("x") is None


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        ((39.8, 29.9, 40.0, 30.0), (40, 30, 40, 30)),  # thinner than a pixel, at the edge
        ((0.0, 0.0, 0.3, 0.2), (1, 1, 1, 1)),
        ((4.4, 4.6, 9.5, 9.4), (5, 6, 10, 9)),
    ],
)
def test_voc_boxes_are_whole_pixels_inside(data, tmp_path, box, corners):
    one = Record("a.png", data[1][0].source, "train", (40, 30), (Thing("cat", 1.0, box, 1.0),))
    FORMATS["voc"](tmp_path / "out", [one], ["cat"])
    root = ElementTree.parse(tmp_path / "out/VOCdevkit/VOC2012/Annotations/a.xml")
    tags = ("xmin", "ymin", "xmax", "ymax")
    found = tuple(int(root.findtext(f"object/bndbox/{tag}")) for tag in tags)
    assert found == corners


def test_yolo_has_labels_parallel_to_images(data, tmp_path):
    _, (page, table) = written("yolo", data, tmp_path)
    content = yaml.safe_load(page.read_text())
    out = tmp_path / "out"
    assert content["names"] == dict(enumerate(NAMES))
    assert (content["train"], content["val"]) == ("images/train", "images/val")
    lines = (out / "labels/train/train_x_y_1.txt").read_text().splitlines()
    outline = np.array(lines[0].split()[1:], float).reshape(-1, 2) * (40, 30)
    np.testing.assert_allclose(outline, np.array(SQUARE[0]).reshape(-1, 2), atol=1e-4)
    (line,) = (out / "labels/val/val_cmd_2.txt").read_text().splitlines()
    index, cx, cy, w, h = map(float, line.split())
    assert index == 2
    np.testing.assert_allclose([(cx - w / 2) * 40, (cy - h / 2) * 30], [10.6, 5.5], atol=1e-3)
    np.testing.assert_allclose([(cx + w / 2) * 40, (cy + h / 2) * 30], [20.2, 15.1], atol=1e-3)
    assert (out / "labels/val/val_plain.txt").read_text() == "", "a picture without a thing"
    for split in ("train", "val"):
        pictures = {path.stem for path in (out / "images" / split).iterdir()}
        assert pictures == {path.stem for path in (out / "labels" / split).iterdir()}
    assert "0.750000" in table.read_text()


def test_csv_is_read_by_the_csv_module_and_by_our_own_reader(data, tmp_path):
    root, (path,) = written("csv", data, tmp_path)
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["label"] for row in rows] == list(NAMES)
    assert rows[1]["image"] == "train/x & y/1.png"
    assert [float(rows[2][key]) for key in ("x0", "y0", "x1", "y1")] == [10.6, 5.5, 20.2, 15.1]
    one_each = "".join(path.read_text().splitlines(keepends=True)[i] for i in (0, 1, 3))
    (root / "boxes.csv").write_text(one_each)
    catalog = read_data(root / "boxes.csv")
    assert {sample.labels[0] for sample in catalog.samples} == {NAMES[0], NAMES[2]}
    assert catalog.samples[0].boxes[0][1] == (2, 3, 12, 9)


def test_names_with_quotes_and_line_breaks_stay_one_cell(data, tmp_path):
    name = 'a "b",\nc.jpg'
    one = Record(name, "x", None, (9, 9), (Thing("cat", 1.0, (0.0, 0.0, 1.0, 1.0), 1.0),))
    (path,) = FORMATS["csv"](tmp_path, [one], ["cat"])
    with path.open(newline="") as lines:
        assert next(csv.DictReader(lines))["image"] == name


def test_the_same_records_give_the_same_bytes(data, tmp_path):
    for form in FORMATS:
        FORMATS[form](tmp_path / "one", data[1], NAMES)
        FORMATS[form](tmp_path / "two", data[1], NAMES)
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file() and path.name != "data.yaml":
            other = tmp_path / "two" / path.relative_to(tmp_path / "one")
            assert other.read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "one/annotations.json").read_text())["info"]


def test_cvat_has_boxes_polygons_and_scores(data, tmp_path):
    _, (path,) = written("cvat", data, tmp_path)
    root = ElementTree.parse(path).getroot()
    assert root.findtext("version") == "1.1"
    assert [label.findtext("name") for label in root.iter("label")] == list(NAMES)
    declared = {a.findtext("name") for a in root.iter("attribute") if a.find("name") is not None}
    assert declared == {"score"}
    first, second, third = root.findall("image")
    assert (first.get("name"), first.get("width")) == ("train/x & y/1.png", "40")
    polygon, box = first.find("polygon"), first.find("box")
    assert polygon.get("points") == "2.00,3.00;12.00,3.00;12.00,9.00;2.00,9.00"
    assert [box.get(side) for side in ("xtl", "ytl", "xbr", "ybr")] == [
        "0.40", "0.40", "40.00", "30.00",
    ]  # fmt: skip
    assert float(box.findtext("attribute")) == 0.5
    assert second.find("box").get("label") == NAMES[2]
    assert len(third) == 0


def test_cvat_is_read_by_datumaro(data, tmp_path):
    datumaro = pytest.importorskip("datumaro", reason="foreign reader not installed")
    root, (path,) = written("cvat", data, tmp_path)
    shutil.copytree(root, path.parent / "images")  # where that reader looks for them
    found = datumaro.Dataset.import_from(str(path.parent), "cvat")
    items = {item.id: item.annotations for item in found}
    assert [tuple(a.get_bbox()) for a in items["val/=cmd,2"]] == [
        pytest.approx((10.6, 5.5, 9.6, 9.6))
    ]
    assert len(items["train/x & y/1"]) == 2


def test_label_studio_has_every_box_of_an_image_in_one_prediction(data, tmp_path):
    _, (path, config) = written("labelstudio", data, tmp_path)
    tasks = json.loads(path.read_text())
    assert [task["data"]["image"] for task in tasks] == [
        "/data/local-files/?d=train/x%20%26%20y/1.png",
        "/data/local-files/?d=val/%3Dcmd%2C2.jpg",
        "/data/local-files/?d=val/plain.jpg",
    ]
    ((prediction,), _, (empty,)) = [task["predictions"] for task in tasks]
    polygon, box = prediction["result"]
    assert polygon["value"]["points"][0] == pytest.approx([5.0, 10.0])
    assert box["value"] == {
        "x": pytest.approx(1.0), "y": pytest.approx(100 * 0.4 / 30), "rotation": 0,
        "width": pytest.approx(99.0), "height": pytest.approx(100 * 29.6 / 30),
        "rectanglelabels": [NAMES[1]],
    }  # fmt: skip
    assert prediction["score"] == 0.75
    assert empty["result"] == []
    view = ElementTree.fromstring(config.read_text())
    controls = {group.get("name"): [label.get("value") for label in group] for group in view}
    assert controls["label"] == controls["polygon"] == list(NAMES)
    assert {r["from_name"] for r in prediction["result"]} <= controls.keys()


def test_label_studio_is_read_by_its_own_sdk(data, tmp_path):
    pytest.importorskip("label_studio_sdk", reason="foreign reader not installed")
    from label_studio_sdk.label_interface import LabelInterface

    _, (path, config) = written("labelstudio", data, tmp_path)
    interface = LabelInterface(config.read_text())
    for task in json.loads(path.read_text()):
        assert task["data"].keys() >= {control.value_name for control in interface.objects}
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction)


def test_label_studio_converts_to_the_same_boxes(data, tmp_path):
    """What was predicted, taken as annotated, and exported by Label Studio's own converter."""
    pytest.importorskip("label_studio_sdk", reason="foreign reader not installed")
    from label_studio_sdk.converter import Converter

    _, (path, config) = written("labelstudio", data, tmp_path)
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks):
        task |= {"id": number, "annotations": [{"result": task.pop("predictions")[0]["result"]}]}
    given = tmp_path / "exported.json"
    given.write_text(json.dumps(tasks))
    converter = Converter(config.read_text(), str(tmp_path), download_resources=False)
    converter.convert_to_coco(str(given), str(tmp_path / "coco"), is_dir=False)
    coco = json.loads((tmp_path / "coco" / "result.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    found = [(names[a["category_id"]], a["bbox"]) for a in coco["annotations"]]
    wanted = [
        (thing.label, [x0, y0, x1 - x0, y1 - y0])
        for record in data[1]
        for thing in record.things
        for x0, y0, x1, y1 in [thing.box]
    ]
    assert [name for name, _ in found] == [name for name, _ in wanted]
    for (_, box), (_, other) in zip(found, wanted, strict=True):
        assert box == pytest.approx(other, abs=1e-3)


def test_yolo_can_be_moved_and_has_train_and_val(data, tmp_path):
    _, (page, _) = written("yolo", data, tmp_path)
    content = yaml.safe_load(page.read_text(encoding="utf-8"))
    assert content["train"] == "images/train"
    assert content["val"] == "images/val"
    assert "path" not in content
    assert not any(path.is_symlink() for path in page.parent.rglob("*"))
    alone = [record for record in data[1] if record.split == "val"]
    FORMATS["yolo"](tmp_path / "alone", alone, NAMES)
    content = yaml.safe_load((tmp_path / "alone" / "data.yaml").read_text(encoding="utf-8"))
    assert content["train"] == content["val"] == "images/val"


def test_a_name_that_is_a_formula_is_a_text_in_the_table_and_read_back(tmp_path):
    name, label = "-1.png", '=HYPERLINK("http://x","y")'
    Image.new("RGB", (8, 8)).save(tmp_path / name)
    one = Record(name, "x", None, (8, 8), (Thing(label, 0.5, (1.0, 1.0, 4.0, 4.0), 1.0),))
    (path,) = FORMATS["csv"](tmp_path, [one], [label])
    with path.open(newline="") as lines:
        row = next(csv.DictReader(lines))
    assert (row["image"], row["label"]) == (f"'{name}", f"'{label}")
    (sample,) = read_data(path).samples
    assert (sample.name, sample.labels) == (name, (label,))
