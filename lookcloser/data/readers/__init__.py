"""One file per family of layouts; `READERS` is the list of all, in the order they are tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lookcloser.data.catalog import Catalog
from lookcloser.data.readers import (
    coco,
    cub,
    flickr,
    folders,
    karpathy,
    labelimg,
    nus_wide,
    stanford,
    voc,
)
from lookcloser.data.readers import torchvision_sets as tv
from lookcloser.data.readers.tables import table
from lookcloser.data.readers.yolo import yolo
from lookcloser.data.shards import reading as shards


@dataclass(frozen=True)
class Reader:
    """How one layout is recognized and read.

    Attributes:
        layout: Its name.
        signs: What it is recognized by, in words.
        recognizes: Whether a path that exists has this layout; looks at names, opens no image.
        read: (root, skip_missing) -> catalog; splits may still be None.
    """

    layout: str
    signs: str
    recognizes: Callable[[Path], bool]
    read: Callable[[Path, bool], Catalog]


_RAW = "raw/train-images-idx3-ubyte"
READERS = [
    Reader("CUB-200-2011", "images.txt, image_class_labels.txt", cub.recognizes, cub.read),
    Reader(
        "Stanford Dogs", "Images/, train_list.mat", stanford.recognizes_dogs, stanford.read_dogs
    ),
    Reader(
        "Stanford Cars",
        "cars_annos.mat or devkit/",
        stanford.recognizes_cars,
        stanford.read_cars,
    ),
    Reader(
        "Oxford-IIIT Pet",
        "oxford-iiit-pet/",
        tv.is_folder("oxford-iiit-pet", "images", "annotations"),
        tv.read_pets,
    ),
    Reader(
        "Oxford Flowers 102",
        "flowers-102/",
        tv.is_folder("flowers-102", "jpg", "setid.mat"),
        tv.read_flowers,
    ),
    Reader(
        "FGVC-Aircraft",
        "fgvc-aircraft-2013b/",
        tv.is_folder("fgvc-aircraft-2013b", "data/variants.txt"),
        tv.read_aircraft,
    ),
    Reader(
        "Food-101",
        "images/, meta/train.txt, meta/test.txt",
        tv.holds("images", "meta/train.txt", "meta/test.txt"),
        tv.read_food,
    ),
    Reader(
        "Describable Textures",
        "images/, labels/train1.txt",
        tv.holds("images", *(f"labels/{split}1.txt" for split in ("train", "val", "test"))),
        tv.read_textures,
    ),
    Reader("MNIST", "MNIST/raw/", tv.is_folder("MNIST", _RAW), tv.read_mnist),
    Reader(
        "Fashion-MNIST",
        "FashionMNIST/raw/",
        tv.is_folder("FashionMNIST", _RAW),
        tv.read_fashion_mnist,
    ),
    Reader(
        "COCO",
        ".json of images, annotations and categories or captions",
        coco.recognizes,
        coco.read,
    ),
    Reader("PASCAL VOC", "Annotations/, JPEGImages/", voc.recognizes, voc.read),
    Reader("labelImg", "1.xml beside 1.jpg, or annotations/", labelimg.recognizes, labelimg.read),
    Reader("NUS-WIDE", "ImageList/, Groundtruth/", nus_wide.recognizes, nus_wide.read),
    Reader(
        "Karpathy captions",
        ".json of images with sentences",
        karpathy.recognizes,
        karpathy.read,
    ),
    # Before tables: boxes.csv beside it is what `annotate` found, not what it was told.
    Reader(
        "YOLO",
        "data.yaml, or classes.txt, and labels/1.txt for images/1.jpg",
        yolo.recognizes,
        yolo.read,
    ),
    # Before tables: one of its forms is called results.csv.
    Reader(
        "Flickr captions",
        "Flickr8k.token.txt, results.csv or captions.txt",
        flickr.recognizes,
        flickr.read,
    ),
    Reader(
        "table",
        "a .csv with image and label, labels (tags) or caption",
        table.recognizes,
        table.read,
    ),
    Reader("class folders", "cat/1.jpg or train/cat/1.jpg", folders.recognizes, folders.read),
    # Last: an archive beside class folders is what they were unpacked from.
    Reader(shards.LAYOUT, "shard-000000.tar, or one such file", shards.recognizes, shards.read),
]
