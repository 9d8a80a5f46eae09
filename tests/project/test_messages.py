"""The messages that the guides quote are those that the code has: somebody searches a guide for what the log says."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

import pytest
from support.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDES = tuple(sorted((ROOT / "docs" / "guides").glob("*.md")))
PACKAGES = ("ageing", "battery", "dags", "dashboard", "dataflows", "kernel", "producer", "refresh", "sink")

SAID_BY_OTHERS: Final = (
    "airflow tasks test",
    "Could not write file",
    "No space left on device",
    "NoSuchBucket",
    "no service selected",
    "non-existent pool 'battery_warehouse'",
    "PanicException: Send thread panic",
    "Read-only file system",
    "required variable MINIO_ACCESS_KEY is missing a value: set it in .env, or run make env",
    "Segmentation fault",
    "superuser password is not specified",
    "The source and target schemas on this incremental model are out of sync",
    "thread '<unnamed>' panicked at",
    "error connecting to worker",
    "retrying",
)
"""What Airflow, Bytewax, dbt, Docker, DuckDB, an image of PostgreSQL or the system says."""

VALUE: Final = "\0"
"""Stands for a value in a message, on both sides."""

NOT_SAID: Final = ("battery ", "make ", "select ", "lab.")
"""How commands, queries and calls begin."""

_QUOTED = re.compile(r"`([^`]+)`")
_VALUES = re.compile(r"(?:test|process) (?:\d+|…)(?: at …)?|\S+=\S*|\S+/\S+|SIG[A-Z]+|…|\b\d+\b")
_FEWEST_WORDS = 3


def quoted(path: Path) -> Iterator[str]:
    """The messages in the first column of the guide's tables: three words of code or more, no commands or calls."""
    for line in path.read_text().splitlines():
        if line.startswith("|"):
            for message in _QUOTED.findall(line.replace("\\|", "/").split("|")[1]):
                if len(message.split()) >= _FEWEST_WORDS and not message.startswith(NOT_SAID):
                    yield message


def said() -> str:
    """All texts in the code but its docstrings, with `VALUE` where one has a value."""
    texts: list[str] = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                    texts.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    texts.append(
                        "".join(
                            part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else VALUE
                            for part in node.values
                        )
                    )
    return "\n".join(texts).replace("`", "")


def parts(message: str) -> list[str]:
    """What stands between the values of a message."""
    return [part for part in (part.strip(" .;:,()") for part in _VALUES.split(message)) if part]


@pytest.fixture(scope="module")
def texts() -> str:
    return said()


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_the_code_says_what_a_guide_quotes(path: Path, texts: str) -> None:
    own = [part for message in quoted(path) for part in parts(message) if part not in SAID_BY_OTHERS]
    assert [part for part in own if part not in texts] == []
