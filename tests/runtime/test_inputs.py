import io
from pathlib import Path

import numpy as np
from PIL import Image

from lookcloser.runtime.inputs import list_sources


def test_one_image_in_any_form_is_one_source(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4)).save(path)
    raw = path.read_bytes()
    with path.open("rb") as file:
        sources = (raw, bytearray(raw), memoryview(raw), io.BytesIO(raw), file, np.zeros((4, 4, 3)))
        for source in sources:
            assert len(list_sources(source)) == 1
        assert len(list_sources(list(sources))) == len(sources)
    assert list_sources(str(path)) == list_sources([path]) == [path]
