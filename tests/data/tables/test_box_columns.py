from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("XMin,XMax,YMin,YMax", "2,12,3,23"),
        ("minx,miny,maxx,maxy", "2,3,12,23"),
        ("startX,startY,endX,endY", "2,3,12,23"),
        ("Roi.X1,Roi.Y1,Roi.X2,Roi.Y2", "2,3,12,23"),
        ("bbox_left,bbox_top,bbox_right,bbox_bottom", "2,3,12,23"),
        ("bx,by,bw,bh", "2,3,10,20"),
        ("x_min,y_min,w,h", "2,3,10,20"),
        ("x_1,y_1,width,height", "2,3,10,20"),
        ("x_center,y_center,width,height", "7,13,10,20"),
        ("cx,cy,w,h", "7,13,10,20"),
    ],
)
def test_one_box_under_many_names(rows: Any, header: str, cells: str) -> None:
    catalog = rows(f"image,label,{header}", f"{{i}}.jpg,{{c}},{cells}")
    assert {sample.boxes for sample in catalog.samples} == {
        (("a", (2, 3, 12, 23)),),
        (("b", (2, 3, 12, 23)),),
    }
    assert any(note.endswith("are boxes") for note in catalog.notes)


def test_the_size_of_the_image_beside_corners_is_no_box(rows: Any) -> None:
    catalog = rows("image,label,width,height,x1,y1,x2,y2", "{i}.jpg,{c},40,30,2,3,12,23")
    assert catalog.samples[0].boxes == (("a", (2, 3, 12, 23)),)
    assert "labels.csv: columns not read: 'width', 'height'" in catalog.notes


def test_a_place_beside_the_size_of_the_image_is_no_box(rows: Any) -> None:
    catalog = rows("image,label,x,y,width,height", "{i}.jpg,{c},5,6,40,30")
    assert not any(sample.boxes for sample in catalog.samples)
    assert "x, y, width, height reach out of every image: not read as boxes" in catalog.notes


def test_names_of_something_else_are_said(rows: Any) -> None:
    catalog = rows("image,label,nose_x1,nose_y1,nose_x2,nose_y2", "{i}.jpg,{c},1,1,5,5")
    assert not any(sample.boxes for sample in catalog.samples)
    assert any("columns not read: 'nose_x1'" in note for note in catalog.notes)
