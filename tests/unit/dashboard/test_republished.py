"""A page on a warehouse that admits readers, and so holds the newest publication alone, while another is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from refresh.marts import MartsVersion
from refresh.publication import Publication

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """
import streamlit as st
from dashboard.view import show_marts

def body(settings, published):
    numbers = [published.table(name)["publication"][0].as_py() for name in ("battery_cells", "battery_cycles")]
    st.markdown(f"publications {numbers}")

show_marts("Page", body)
"""


class InPlace:
    """Marts of which one is published anew just after one of them was read for the first time."""

    keeps_earlier = False

    def __init__(self, after: str) -> None:
        self.number = 1
        self.after = after
        self.reads = 0

    def newest(self) -> MartsVersion:
        return MartsVersion(str(self.number), None, dict.fromkeys(("battery_cells", "battery_cycles"), "a table"))

    def table(self, publication: MartsVersion, name: str) -> pa.Table:  # noqa: ARG002
        self.reads += name == "battery_cells"
        read = pa.table({"publication": [self.number], "cell_id": ["A"]})
        if (self.number, name) == (1, self.after):
            self.number = 2
        return read


@pytest.mark.parametrize("after", ["battery_cells", "battery_cycles"])
def test_it_is_drawn_again_of_the_new_one_and_never_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    monkeypatch.setenv("WAREHOUSE", str(tmp_path / "battery.duckdb"))
    monkeypatch.setenv("OBJECT_STORE", f"file://{tmp_path / 'objects'}")
    marts = InPlace(after)
    monkeypatch.setattr("dashboard.view.open_publication", lambda *_, **__: Publication(marts, None))
    drawn = AppTest.from_string(PAGE, default_timeout=30).run()
    assert not drawn.exception
    assert [error.value for error in drawn.error] == []
    assert "publications [2, 2]" in [text.value for text in drawn.markdown]
    assert marts.reads == 2, "it must not be drawn again and again until the look is old"
