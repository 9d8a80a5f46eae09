"""Where the project and the shared files lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

SHARED = ROOT.parent / "shared" / "data"
"""Real workbooks and right numbers, which are never part of the project."""

INPUTS = ROOT.parent / "shared" / "inputs"
"""Small inputs that fail, with the right answers."""
