"""Figures as PNG for paper, drawn by the Chrome or Chromium of this machine, which is started once for all of them."""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import kaleido
import plotly.graph_objects as go
from kaleido.errors import (
    BrowserClosedError,
    BrowserFailedError,
    ChromeNotFoundError,
    JavascriptError,
    KaleidoError,
)

from dashboard.figures.style import set_notes_on_paper
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE: Final = (1200, 720)
"""Width and height in the drawing's own pixels, of which its letters are `LETTERS` high."""

SCALE: Final = 2
"""Pixels of the PNG for each of them: 2400 across are 360 dpi on the 17 cm between the margins of A4."""

BOTTOM: Final = 80
"""Room below a drawing for its axis, in its own pixels."""

LETTERS: Final = 18
"""Size of the letters: 7 pt at that width."""


# It reads what the browser says, and writes a trace of what it could not decode and ignored; what fails is raised.
logging.getLogger("choreographer").setLevel(logging.CRITICAL)


class NoBrowserError(BatteryError):
    """No PNG can be drawn on this machine; the message says what is missing."""


def draw_pngs(figures: Mapping[str, go.Figure]) -> dict[str, bytes]:
    """Draw figures by name, each `SIZE` times `SCALE` pixels.

    Raises:
        NoBrowserError: there is no Chrome or Chromium, or it does not run.
    """
    width, height = SIZE
    with TemporaryDirectory(prefix="battery-report-") as folder:
        paths = {name: Path(folder) / f"{number}.png" for number, name in enumerate(figures)}
        wanted = [
            {
                "fig": _on_paper(figure),
                "path": str(paths[name]),
                "opts": {"width": width, "height": height, "scale": SCALE, "format": "png"},
            }
            for name, figure in figures.items()
        ]
        try:
            # Without MathJax, which would be fetched from a server for formulas that no figure has.
            kaleido.write_fig_from_object_sync(wanted, cancel_on_error=True, kopts={"mathjax": False})
        except ChromeNotFoundError:
            raise NoBrowserError("PNG figures need Chrome or Chromium, and none was found") from None
        except (
            BrowserClosedError, BrowserFailedError, JavascriptError, KaleidoError, TimeoutError, OSError,
        ) as error:  # fmt: skip
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise NoBrowserError(f"PNG figures need a Chrome or Chromium that runs: {said}") from error
        return {name: path.read_bytes() for name, path in paths.items()}


def _on_paper(figure: go.Figure) -> go.Figure:
    """The figure with letters that can be read in print, and no more room around it than it needs."""
    drawn = go.Figure(figure).update_layout(
        font={"size": LETTERS, "color": "black"}, margin={"l": 90, "r": 30, "t": 50, "b": BOTTOM}
    )
    set_notes_on_paper(drawn, LETTERS - 2, BOTTOM)
    return drawn
