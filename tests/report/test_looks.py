"""What people see of a report: colors that can be read, and nothing cut or wider than a phone."""

import dataclasses
import re

import numpy as np
import pytest

from lookcloser.report import write_report
from lookcloser.report.sources import source

from ..browser import CHROMIUM

LONG = (
    "A_very_long_name_of_a_class_that_goes_on_and_on_with_Llanfairpwllgwyngyllgogerychwyrndrobwll"
)
READABLE = 4.5  # contrast of text, WCAG 2.2 AA
# What text is drawn in, and on what.
TEXTS = [("--ink", ("--paper", "--surface", "--soft")), ("--muted", ("--paper", "--surface"))]
TEXTS += [("--accent", ("--paper", "--surface", "--soft")), ("--wrong", ("--paper", "--surface"))]
TEXTS += [("--paper", ("--accent",))]


def luminance(color):
    """Relative luminance of red, green, blue in 0–255, by WCAG 2."""
    values = np.asarray(color) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def variables(block):
    found = re.findall(r"(--\w+): #(\w{6})", block)
    return {name: [int(digits[at : at + 2], 16) for at in (0, 2, 4)] for name, digits in found}


def test_the_contrast_of_black_and_white_is_21():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("text", "grounds"), TEXTS)
def test_text_can_be_read_in_both_looks(dark, text, grounds):
    light_block, dark_block = source("base.css").split("prefers-color-scheme: dark")
    colors = variables(dark_block if dark else light_block)
    for ground in grounds:
        assert contrast(colors[text], colors[ground]) >= READABLE, f"{text} on {ground}"


# Colors of the cells with a number, as red, green, blue of what is drawn.
CELLS = """[...document.querySelectorAll(".matrix .hit, .matrix .miss")].map((cell) => {
  const context = document.createElement("canvas").getContext("2d"), style = getComputedStyle(cell);
  return [style.color, style.backgroundColor].map((color) => {
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  });
})"""
NAMES = """[...document.querySelectorAll(".matrix tbody th span")].map((name) => (
  [name.clientWidth, name.parentElement.parentElement.clientHeight]
))"""
# Regions that scroll, and whether a keyboard reaches them and hears their name.
SCROLLED = """[...document.querySelectorAll("main *")].filter((e) => (
  e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX)
)).map((e) => [e.tabIndex, Boolean(e.ariaLabel)])"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_report_fits_a_phone_and_its_numbers_can_be_read(tmp_path, evaluation, browser):
    shares = np.arange(13) * 8  # 0 to 96 of 100 that are right
    confusion = np.diag(shares) + np.diag(100 - shares[:-1], 1)
    names = tuple(f"{LONG}_{number}" for number in range(13))
    shown = dataclasses.replace(evaluation, names=names, confusion=confusion)
    path = write_report(tmp_path / "report.html", shown, about={"command": "lookcloser " * 20})
    for dark in (False, True):
        browser.look(390, 844, dark=dark, touch=True)
        browser.open(path.as_uri())
        pairs = browser.value(CELLS)
        assert len(pairs) == 24
        assert min(contrast(*pair) for pair in pairs) >= READABLE
    assert browser.value("document.documentElement.scrollWidth") == 390
    for width, height in browser.value(NAMES):
        assert width >= 90, "names have room"
        assert height < 60, "and take two lines at most"
    scrolled = browser.value(SCROLLED)
    assert scrolled, "a matrix of 13 classes is wider than a phone"
    assert {tuple(found) for found in scrolled} == {(0, True)}
