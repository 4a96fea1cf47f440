"""Pixels of overlays, boxes and sheets against values worked out by hand or by a slow loop."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image, ImageShow

from lookcloser.core import Label, LookcloserError, Prediction, Region
from lookcloser.core.drawing import (
    BOX_COLOR,
    contact_sheet,
    draw_box,
    draw_boxes,
    draw_move,
    draw_region,
    overlay,
    plot_labels,
    plot_prediction,
    plot_views,
    save_image,
)
from lookcloser.core.drawing.evidence import LONGEST_SIDE, WIDE
from lookcloser.core.drawing.sheets import MARGIN

CYAN = tuple(int(BOX_COLOR[i : i + 2], 16) for i in (1, 3, 5))


def noise(width, height, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def slow_bilinear(values, height, width):
    """align_corners=False, written out: the center of cell i lies at (i + 0.5) / n."""
    rows, columns = values.shape
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            u = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            dy, dx = v - top, u - left
            upper = values[top, left] * (1 - dx) + values[top, right] * dx
            lower = values[bottom, left] * (1 - dx) + values[bottom, right] * dx
            result[y, x] = upper * (1 - dy) + lower * dy
    return result


def prediction(image, *regions, **kwargs):
    labels = (Label("cat", 0.5, 0),)
    return Prediction("classification", labels, regions, image.size, image=image, **kwargs)


class TestOverlay:
    def test_without_evidence_the_image_keeps_its_colors(self):
        image = noise(20, 10)
        painted = overlay(image, np.zeros((2, 2), np.float32))
        np.testing.assert_array_equal(np.asarray(painted), np.asarray(image))

    def test_the_strongest_place_gets_the_last_color_with_opacity_alpha(self):
        image = Image.new("RGB", (6, 4), (10, 200, 90))
        last = np.array(colormaps["cividis"](1.0)[:3]) * 255
        expected = np.array([10, 200, 90]) * 0.6 + last * 0.4
        painted = overlay(image, np.ones((3, 3), np.float32), alpha=0.4, colormap="cividis")
        np.testing.assert_array_equal(np.asarray(painted), np.tile(expected.round(), (4, 6, 1)))

    def test_upsampling_is_bilinear_with_cell_centers(self):
        heatmap = np.random.default_rng(1).random((3, 5)).astype(np.float32)
        painted = overlay(Image.new("RGB", (35, 24), "black"), heatmap, 1.0, "gray")
        values = slow_bilinear(heatmap, 24, 35)
        # On black, gray of value v at opacity v is 255 v²; the map has 256 steps.
        np.testing.assert_allclose(np.asarray(painted)[..., 0], 255 * values**2, atol=1.6)

    def test_values_outside_the_range_are_cut(self):
        image = noise(4, 4)
        wild = overlay(image, np.full((2, 2), 7.0, np.float32))
        tame = overlay(image, np.ones((2, 2), np.float32))
        np.testing.assert_array_equal(np.asarray(wild), np.asarray(tame))

    def test_gray_images_become_rgb_and_the_argument_stays(self):
        image = Image.new("L", (5, 5), 100)
        assert overlay(image, np.ones((1, 1), np.float32)).mode == "RGB"
        assert image.mode == "L"


class TestDrawBox:
    def test_edges_are_exclusive_at_the_right_and_bottom(self):
        image = Image.new("RGB", (40, 30))
        drawn = np.asarray(draw_box(image, (5, 6, 25, 20)))
        ys, xs = np.nonzero((drawn == CYAN).all(axis=-1))
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (5, 6, 25, 20)
        assert not np.asarray(image).any(), "the argument was drawn on"

    def test_box_outside_is_cut_at_the_image(self):
        drawn = np.asarray(draw_box(Image.new("RGB", (40, 30)), (-10, -10, 500, 500)))
        ys, xs = np.nonzero((drawn == CYAN).all(axis=-1))
        assert (xs.min(), ys.min(), xs.max(), ys.max()) == (0, 0, 39, 29)

    @pytest.mark.parametrize("box", [(0, 0, 30, 30), (90, 60, 100, 80), (10, 60, 30, 70)])
    def test_the_text_lies_wholly_inside(self, box):
        bare = np.asarray(draw_box(Image.new("RGB", (100, 80)), box))
        named = np.asarray(draw_box(Image.new("RGB", (100, 80)), box, "x" * 60))
        changed = np.nonzero((bare != named).any(axis=-1))
        assert named.shape == bare.shape
        plate = (changed[1].max() + 1 - changed[1].min(), changed[0].max() + 1 - changed[0].min())
        assert plate[0] > 80, "the text was dropped"
        assert plate[1] >= 15

    @pytest.mark.parametrize(("box", "size"), [((7, 8, 10, 10), (3, 2)), ((7, 8, 8, 20), (1, 12))])
    def test_thin_boxes_keep_to_their_place(self, box, size):
        drawn = np.asarray(draw_box(Image.new("RGB", (40, 30)), box))
        ys, xs = np.nonzero((drawn == CYAN).all(axis=-1))
        assert (xs.min(), ys.min()) == (7, 8)
        assert (np.ptp(xs) + 1, np.ptp(ys) + 1) == size


class TestDrawBoxes:
    @staticmethod
    def plates(boxes, size):
        """(x0, y0, x1, y1) of the plate of each text, by what it changes when it is drawn alone."""
        image = Image.new("RGB", size)
        found = []
        for number in range(len(boxes)):
            texts = [(box, text if n <= number else "") for n, (box, text) in enumerate(boxes)]
            before = [(box, text if n < number else "") for n, (box, text) in enumerate(boxes)]
            more, less = (np.asarray(draw_boxes(image, some)) for some in (texts, before))
            ys, xs = np.nonzero((more != less).any(axis=-1))
            found.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        return found

    @pytest.mark.parametrize(
        "corners",
        [
            [(40, 90), (100, 90), (40, 60)],
            [(40, 90), (45, 90), (50, 92)],
            [(0, 0), (0, 0), (0, 0)],
            [(180, 150), (180, 150), (180, 150)],
            [(100, 2), (140, 2)],
        ],
        ids=["beside", "nearly one", "corner", "last corner", "top"],
    )
    def test_no_text_lies_on_another(self, corners):
        boxes = [((x, y, x + 60, y + 60), f"{n}: 0.88") for n, (x, y) in enumerate(corners)]
        plates = self.plates(boxes, (240, 210))
        for number, (x0, y0, x1, y1) in enumerate(plates):
            # A line below the plate has its color.
            assert 50 <= x1 - x0 <= 70, "a part of it is hidden"
            assert y1 - y0 >= 16, "a part of it is hidden"
            assert 0 <= x0 < x1 <= 240
            assert 0 <= y0 < y1 <= 210
            for left, top, right, bottom in plates[:number]:
                assert x1 <= left or right <= x0 or y1 <= top or bottom <= y0

    def test_without_room_every_text_is_still_there(self):
        boxes = [((0, 0, 60, 24), f"{n}: 0.88") for n in range(9)]
        alone = draw_box(Image.new("RGB", (60, 24)), (0, 0, 60, 24), "8: 0.88")
        drawn = draw_boxes(Image.new("RGB", (60, 24)), boxes)
        assert drawn.tobytes() == alone.tobytes()

    def test_lines_leave_room_in_flat_images(self):
        drawn = np.asarray(draw_box(Image.new("RGB", (1280, 100)), (100, 20, 400, 60)))
        lit = (drawn == CYAN).all(axis=-1)[:, 250]
        assert lit.sum() == 4, "2 pixels above and below"


@pytest.mark.parametrize("size", [(320, 7), (7, 320), (20, 640), (640, 20), (320, 12)])
def test_what_is_too_thin_for_a_name_has_none(size):
    """Half a letter says nothing; the title of the panel has the name."""
    image, box = Image.new("RGB", size, "white"), (0, 0, *size)
    plain = draw_box(image, box)
    assert draw_box(image, box, "cat 0.50").tobytes() == plain.tobytes()


def test_a_name_is_whole_on_an_image_just_large_enough():
    image, box = Image.new("RGB", (90, 21), "white"), (0, 0, 90, 21)
    assert draw_box(image, box, "cat 0.50").tobytes() != draw_box(image, box).tobytes()


class TestContactSheet:
    def test_every_image_lies_in_its_cell(self):
        colors = ["red", "lime", "blue", "cyan", "magenta"]
        images = [Image.new("RGB", (200, 100), color) for color in colors]
        sheet = contact_sheet(images, columns=2)
        assert sheet.size == (2 * 208 + MARGIN, 3 * 108 + MARGIN)
        for index, image in enumerate(images):
            row, column = divmod(index, 2)
            x, y = MARGIN + 208 * column, MARGIN + 108 * row
            cell = sheet.crop((x, y, x + 200, y + 100))
            assert cell.tobytes() == image.tobytes(), colors[index]
        assert sheet.getpixel((300, 300)) == (255, 255, 255)

    def test_smaller_images_are_centered(self):
        sheet = contact_sheet([Image.new("RGB", (300, 50)), Image.new("RGB", (100, 50))], columns=1)
        dark = np.nonzero(np.asarray(sheet)[MARGIN + 58 + 25, :, 0] == 0)[0]
        assert (dark.min(), dark.max()) == (MARGIN + 100, MARGIN + 199)

    def test_titles_stay_in_their_column(self):
        blank = Image.new("RGB", (200, 50), "white")
        sheet = np.asarray(contact_sheet([blank] * 2, ["W" * 90, ""], columns=2))
        dark = np.nonzero((sheet < 128).any(axis=-1))
        assert dark[1].min() >= MARGIN
        assert dark[1].max() < MARGIN + 200
        rows = np.unique(dark[0])
        assert rows.max() - rows.min() > 20, "a long title takes two lines"
        assert rows.max() < sheet.shape[0] - 50 - MARGIN

    def test_a_title_breaks_at_a_space(self):
        blank = Image.new("RGB", (200, 40), "white")
        two_lines = np.asarray(contact_sheet([blank], ["WWWW WWWW WWWW end"]))
        one_line = np.asarray(contact_sheet([blank], ["end"]))
        line = len(two_lines) - len(one_line)
        np.testing.assert_array_equal(two_lines[MARGIN + line :], one_line[MARGIN:])

    @pytest.mark.parametrize(("count", "titles"), [(0, []), (2, ["one"])])
    def test_wrong_numbers(self, count, titles):
        with pytest.raises(ValueError, match=f"{count} images and {len(titles)} titles"):
            contact_sheet([Image.new("RGB", (5, 5))] * count, titles)


class Viewer(ImageShow.Viewer):
    """Keeps what it is to show."""

    def __init__(self, opened):
        self.opened = opened

    def show_image(self, image, **_options):
        self.opened.append(image)
        return True


class TestPlot:
    @pytest.mark.parametrize("size", [(28, 28), (96, 40), (400, 600), (5000, 1000)])
    def test_images_get_a_readable_size(self, size):
        sheet = prediction(Image.new("RGB", size, "teal")).plot(0)
        teal = np.nonzero((np.asarray(sheet) == (0, 128, 128)).all(axis=-1))
        width, height = np.ptp(teal[1]) + 1, np.ptp(teal[0]) + 1
        most = LONGEST_SIDE[1] * (2 if size[0] >= WIDE * size[1] else 1)
        assert LONGEST_SIDE[0] <= max(width, height) <= most
        assert width / height == pytest.approx(size[0] / size[1], rel=0.02)

    def test_the_panels_of_a_panorama_stand_below_each_other(self):
        region = Region("map", "cat", 0.5, None, np.eye(4, dtype=np.float32))
        wide, usual = (prediction(noise(*size), region).plot() for size in ((600, 60), (600, 300)))
        assert wide.size == (600 + 2 * MARGIN, wide.height)
        assert usual.width == 2 * 600 + 3 * MARGIN
        views = plot_views(noise(600, 60), {"cam": region, "gradcam": region})
        assert views.width == wide.width
        assert views.height > wide.height

    def test_no_evidence_is_said_and_not_painted(self):
        image = noise(400, 400)
        empty = Region("map", "cat", 0.5, None, np.zeros((7, 7), np.float32))
        expected = contact_sheet([image, image], ["image", "no evidence for cat (0.50)"], 2)
        assert prediction(image, empty).plot().tobytes() == expected.tobytes()

    def test_a_map_is_painted_and_its_box_scaled(self):
        image = noise(100, 100)
        heatmap = np.eye(4, dtype=np.float32)
        region = Region("map", "cat", 0.5, (10, 60, 40, 90), heatmap)
        picture = image.resize((320, 320), Image.Resampling.BICUBIC)
        panel = draw_box(overlay(picture, heatmap), (32, 192, 128, 288), "cat 0.50")
        expected = contact_sheet([picture, panel], ["image", "evidence for cat (0.50)"], 2)
        assert prediction(image, region).plot().tobytes() == expected.tobytes()

    def test_steps_are_numbered_and_captions_are_the_title(self):
        image = noise(400, 300)
        region = Region("word", "dog", 0.25, step=2)
        plotted = prediction(image, region, caption="a small dog").plot()
        expected = contact_sheet([image, image], ["a small dog", "word 3: dog (0.25)"], 2)
        assert plotted.tobytes() == expected.tobytes()

    def test_the_title_doubts_what_may_be_none_of_the_classes(self):
        image = noise(640, 400)
        plotted = prediction(image, refusal="unlike the training images").plot(0)
        expected = contact_sheet([image], ["perhaps none of these: image"], 1)
        assert plotted.tobytes() == expected.tobytes()

    def test_only_as_many_regions_as_asked(self):
        regions = [Region("step", "cat", 0.5, step=i) for i in range(6)]
        answer = prediction(noise(320, 320), *regions)
        assert plot_prediction(answer, 0).width == 320 + 2 * MARGIN
        assert plot_prediction(answer, 3).width == 4 * (320 + MARGIN) + MARGIN
        assert plot_prediction(answer, 6).height == 2 * plot_prediction(answer, 3).height - MARGIN

    def test_scales_are_drawn_one_inside_the_other_in_one_panel(self):
        image = noise(640, 640)
        outer = Region("scale", "cat", 0.5, (100, 60, 500, 460), step=1)
        inner = Region("scale", "cat", 0.75, (200, 160, 300, 260), step=2)
        answer = prediction(image, Region("map", "cat", 0.5), outer, inner)
        panel = draw_box(image, outer.box, "2: 0.50")
        panel = draw_box(panel, inner.box, "3: 0.75")
        titles = ["image", "evidence for cat (0.50)", "looked closer: cat"]
        expected = contact_sheet([image, image, panel], titles, 3)
        assert answer.plot().tobytes() == expected.tobytes()

    def test_places_are_counted_from_the_one_that_counts_most(self):
        image = noise(640, 640)
        boxes = [(100, 260, 300, 460), (200, 260, 400, 460)]
        places = [Region("place", "cat", 0.5, box, step=n) for n, box in enumerate(boxes)]
        answer = prediction(image, Region("map", "cat", 0.5), *places)
        panel = draw_boxes(image, list(zip(boxes, ("1: 0.50", "2: 0.50"), strict=True)))
        titles = ["image", "evidence for cat (0.50)", "looked closer: cat"]
        expected = contact_sheet([image, image, panel], titles, 3)
        assert answer.plot().tobytes() == expected.tobytes()

    def test_save_writes_the_plot(self, tmp_path):
        answer = prediction(noise(320, 320))
        path = answer.save(tmp_path / "new" / "a.png")
        assert Image.open(path).tobytes() == answer.plot().tobytes()

    def test_show_opens_the_plot_in_a_viewer(self, monkeypatch):
        opened, answer = [], prediction(noise(320, 320), Region("map", "cat", 0.5))
        monkeypatch.setattr(ImageShow, "_viewers", [Viewer(opened)])
        answer.show()
        answer.show(regions=0)
        drawn = [answer.plot(), answer.plot(regions=0)]
        assert [image.tobytes() for image in opened] == [image.tobytes() for image in drawn]
        monkeypatch.setattr(ImageShow, "_viewers", [])
        with pytest.raises(LookcloserError, match=r"No image viewer.*prediction\.save"):
            answer.show()

    def test_failed_predictions_say_why(self, tmp_path):
        failed = Prediction("classification", (), (), (0, 0), tmp_path / "a.jpg", error="truncated")
        with pytest.raises(LookcloserError, match=r"a\.jpg: nothing to draw.*truncated"):
            failed.plot()

    def test_a_file_that_is_gone_is_named(self, tmp_path):
        gone = Prediction("classification", (), (), (5, 5), tmp_path / "gone.jpg")
        with pytest.raises(LookcloserError, match=r"gone\.jpg: no such file"):
            gone.plot()

    def test_a_image_that_was_not_kept(self):
        with pytest.raises(LookcloserError, match="not kept"):
            Prediction("classification", (), (), (5, 5)).plot()


class TestPlotLabels:
    def regions(self, lit):
        heatmap = np.zeros((2, 2), np.float32)
        heatmap[lit] = 1.0
        return (
            Region("step", "cat", 0.9, heatmap=heatmap, step=0),
            Region("step", "dog", 0.4, heatmap=np.zeros((2, 2), np.float32), step=1),
        )

    def test_a_row_for_each_label_and_a_column_for_each_view(self):
        image = noise(320, 320)
        sheet = plot_labels(image, {"gradcam": self.regions((0, 0)), "rise": self.regions((1, 1))})
        step = 320 + MARGIN
        head = (sheet.height - MARGIN) // 2 - step
        cells = [
            [np.asarray(sheet)[y : y + 320, x : x + 320] for x in range(MARGIN, 3 * step, step)]
            for y in (MARGIN + head, MARGIN + head + head + step)
        ]
        original = np.asarray(image)
        for row in cells:
            np.testing.assert_array_equal(row[0], original)
        changed = [np.abs(cell.astype(int) - original).sum(axis=2) for cell in cells[0][1:]]
        assert changed[0][:80, :80].sum() > 0 == changed[0][250:, 250:].sum()
        assert changed[1][250:, 250:].sum() > 0 == changed[1][:80, :80].sum()
        np.testing.assert_array_equal(cells[1][1], original)

    def test_views_of_other_labels_are_refused(self):
        with pytest.raises(ValueError, match="shorter"):
            plot_labels(
                noise(20, 20), {"cam": self.regions((0, 0)), "rise": self.regions((0, 0))[:1]}
            )


class TestPlotViews:
    LIT = np.array([[1, 0], [0, 0]], np.float32)

    def test_the_original_comes_first_and_each_view_is_drawn_on_it(self):
        image = noise(320, 200)
        box = Region("map", "cat", 0.5, (200.0, 100.0, 300.0, 180.0))
        views = {"cam": Region("map", "cat", 0.5, heatmap=self.LIT), "box": box}
        sheet = np.asarray(plot_views(image, views))
        cells = [sheet[-208:-8, x : x + 320] for x in range(MARGIN, 3 * 328, 328)]
        np.testing.assert_array_equal(cells[0], image)
        painted = np.abs(cells[1].astype(int) - np.asarray(image)).sum(axis=2)
        assert painted[:50, :80].min() > 0 == painted[150:, 240:].max()
        assert (cells[2][100, 210:290] == CYAN).all()
        np.testing.assert_array_equal(cells[2][:, :190], np.asarray(image)[:, :190])

    def test_the_original_is_titled_with_what_was_asked_for(self):
        image = noise(640, 400)
        views = {name: Region("map", "cat", 0.5) for name in ("cam", "saliency")}
        titles = ["cat (0.50)", "cam", "saliency"]
        expected = contact_sheet([image] * 3, titles)
        assert plot_views(image, views).tobytes() == expected.tobytes()
        assert plot_views(image, {}).tobytes() == contact_sheet([image], ["original"]).tobytes()

    def test_a_small_image_is_enlarged_and_its_boxes_with_it(self):
        box = Region("map", "cat", 0.5, (20.0, 0.0, 40.0, 20.0))
        sheet = np.asarray(plot_views(Image.new("L", (40, 20)), {"cam": box}))
        right = sheet[:, -8 - 320 :]
        lit = np.nonzero((right == CYAN).all(axis=2))
        assert 158 <= lit[1].min() <= 160
        assert lit[1].max() == 319

    def test_there_are_four_side_by_side_at_most(self):
        region = Region("map", "cat", 0.5)
        widths = [
            plot_views(noise(320, 320), {str(n): region for n in range(count)}).width
            for count in (1, 3, 4, 6)
        ]
        assert widths == [columns * 328 + MARGIN for columns in (2, 4, 4, 4)]


def test_importing_it_is_cheap():
    code = "import lookcloser.core.drawing, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestSaving:
    def test_the_ending_chooses_the_format_and_folders_are_made(self, tmp_path):
        path = save_image(Image.new("RGB", (4, 3), "red"), tmp_path / "new" / "a.JPG")
        with Image.open(path) as written:
            assert (written.format, written.size) == ("JPEG", (4, 3))
        assert [found.name for found in path.parent.iterdir()] == ["a.JPG"]

    @pytest.mark.parametrize("name", ["a.foo", "a"])
    def test_an_unknown_ending_is_named(self, tmp_path, name):
        with pytest.raises(LookcloserError, match=rf"{name}: no format for images.*\.png"):
            save_image(Image.new("RGB", (4, 3)), tmp_path / name)

    def test_what_the_system_refuses_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(LookcloserError, match="could not be written"):
            save_image(Image.new("RGB", (4, 3)), tmp_path / "file" / "a.png")


class TestMove:
    BOX = (40, 40, 80, 80)

    @staticmethod
    def cyan(image):
        """(x0, y0, x1, y1) of the pixels in the color of the arrows, x1 and y1 exclusive."""
        rows, columns = np.nonzero((np.asarray(image) == CYAN).all(axis=2))
        return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1

    @pytest.mark.parametrize("length", [1.0, 0.01])
    def test_the_arrow_leaves_the_middle_in_the_direction_of_the_move(self, length):
        image = Image.new("RGB", (120, 120))
        x0, y0, x1, y1 = self.cyan(draw_move(image, self.BOX, (length, 0.0, 0.0)))
        assert x0 == pytest.approx(60, abs=2)
        assert x1 == pytest.approx(60 + 12, abs=2), "0.3 of the side, however strong the pull"
        assert 54 <= y0 < 60 < y1 <= 67
        left = self.cyan(draw_move(image, self.BOX, (-length, 0.0, 0.0)))
        assert left[0] == pytest.approx(60 - 12, abs=2)
        down = self.cyan(draw_move(image, self.BOX, (0.0, length, 0.0)))
        assert down[3] == pytest.approx(60 + 12, abs=2)

    def test_the_corners_go_outward_where_it_grows_and_inward_where_it_shrinks(self):
        image = Image.new("RGB", (120, 120))
        larger = self.cyan(draw_move(image, self.BOX, (0.0, 0.0, 1.0)))
        smaller = self.cyan(draw_move(image, self.BOX, (0.0, 0.0, -1.0)))
        assert larger == pytest.approx((34, 34, 86, 86), abs=2)
        assert smaller == pytest.approx((40, 40, 80, 80), abs=2)

    def test_nothing_is_drawn_for_no_move_and_without_a_move(self):
        image = noise(120, 120)
        still = draw_move(image, self.BOX, (0.0, 0.0, 0.0))
        np.testing.assert_array_equal(np.asarray(still), np.asarray(image))
        region = Region("scale", "cat", 0.5, (20, 20, 40, 40), step=1)
        boxed = draw_region(image, region, (60, 60))
        expected = draw_box(image, (40, 40, 80, 80), "cat 0.50")
        np.testing.assert_array_equal(np.asarray(boxed), np.asarray(expected))
