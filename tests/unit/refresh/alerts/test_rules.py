"""The lab's own thresholds of alerts: what is refused, and where it says that the fault is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError
from refresh.alerts.rules import require_rules

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "cell_group,kind,threshold\n"


@pytest.mark.parametrize(
    "lines",
    [
        "",
        ",knee,0.7\nfast,knee,off\n",
        '"a, b",stopped,0.5\n\n,stopped,2',
        "fast, fast_fade , 7 \n",
        ",high_temperature,-20\n",
    ],
)
def test_a_file_of_thresholds_is_taken(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "alerts.csv"
    path.write_text(HEADER + lines, encoding="utf-8-sig")
    require_rules(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "must begin with the line cell_group,kind,threshold; it begins with nothing"),
        ("group,kind,threshold\n", "must begin with the line .*; it begins with group,kind,threshold"),
        (HEADER + "fast,bend,0.5\n", "row 2, column kind: 'bend' is no kind of alert; there are fast_fade, knee"),
        (HEADER + ",knee,0.5\n,low_efficiency,98\n", "row 3, column threshold: '98' is no threshold of low_efficiency"),
        (HEADER + ",knee,nan\n", "row 2, column threshold: 'nan' is no threshold of knee"),
        (HEADER + ",knee,\n", "row 2, column threshold: '' is no threshold of knee"),
        (HEADER + "a,b,knee,0.5\n", "row 2, column threshold: the line has 4 values instead of 3"),
        (HEADER + ",knee,0.5\n\n ,knee,0.6\n", "row 4: knee of all cells is in row 2 already"),
        (HEADER + '"fast,knee,0.5\n', "cannot be read: "),
    ],
)
def test_a_bad_file_is_refused_with_its_row_and_column(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "alerts.csv"
    path.write_text(content)
    with pytest.raises(BatteryError, match=rf"^BATTERY_ALERT_RULES={path}.*{complaint}"):
        require_rules(path)


def test_a_file_that_is_not_there_or_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BatteryError, match="cannot be read: No such file or directory"):
        require_rules(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BatteryError, match="it is not UTF-8 text"):
        require_rules(tmp_path / "bytes.csv")
