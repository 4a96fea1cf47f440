"""Which tables of a folder lead to its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lookcloser.data.readers.tables.finding import leads_to_images


@pytest.mark.parametrize(("there", "listed", "leads"), [(1, 2, True), (1, 3, False), (3, 4, True)])
def test_half_of_the_rows_is_enough(write: Any, there: int, listed: int, leads: bool) -> None:
    root: Path = write(*(f"{i}.jpg" for i in range(there)))
    rows = "".join(f"{i}.jpg,{'a' if i % 2 else 'b'}\n" for i in range(listed))
    (root / "t.csv").write_text(f"filename,class\n{rows}", encoding="utf-8")
    assert leads_to_images(root / "t.csv") is leads
