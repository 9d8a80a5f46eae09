"""The documents name what the code has: a column, flag, reason or test that they miss fails here."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import duckdb
import pytest
import yaml
from support.places import ROOT

from battery.cli.main import cli
from dataflows.health import Pulse
from dataflows.metrics import Metrics
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.reading import Quality, Reason
from sink.layout import INTERNAL, READERS
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

DOCS = ROOT / "docs"
MODELS = ROOT / "dbt_project" / "models"
DICTIONARY = (DOCS / "reference" / "tables.md").read_text()
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
GUIDES = "\n".join(page.read_text() for page in sorted((DOCS / "guides").glob("*.md")))

FOLDERS = (
    "ageing|battery|benchmarks|dags|dashboard|dataflows|dbt_project|docker|docs|kernel|producer|refresh|sink|tests"
)
WRITTEN_TESTS = {
    name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
}
TABLES = {
    name: re.findall(r"^\| `([^`]+)` \| ([A-Z][^|]*?|struct[^|]*?) \|", section, re.MULTILINE)
    for name, _, section in (part.partition("\n") for part in DICTIONARY.split("\n## ")[1:])
    if name in {"battery_ts", "battery_cycles", "battery_cells", "battery_groups"}
}
"""Columns of the tables that the queries are about, with their types."""


def generator(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def manifest(*columns: dict[str, str], description: str = "One row a cell.") -> dict[str, Any]:
    """What dbt knows of a project with one mart, which has those columns."""
    return {"sources": {}, "nodes": {"model.p.cells": model("cells", "marts", "table", description, *columns)}}


def model(name: str, folder: str, materialized: str, description: str, *columns: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "resource_type": "model",
        "fqn": ["p", folder, name],
        "config": {"materialized": materialized},
        "description": description,
        "columns": {column["name"]: column for column in columns},
    }


def column(data_type: str = "varchar", description: str = "The cell.") -> dict[str, str]:
    return {"name": "cell_id", "data_type": data_type, "description": description}


def test_the_data_dictionary_is_what_dbt_knows() -> None:
    module = generator("make_dictionary")
    assert module.dictionary(module.read_manifest(ROOT / "dbt_project")) == DICTIONARY, (
        "dbt_project describes other tables than docs/reference/tables.md does: run `make docs`"
    )


def test_a_project_that_dbt_cannot_parse_is_refused_with_what_dbt_says(tmp_path: Path) -> None:
    with pytest.raises(BatteryError, match=r"dbt cannot parse .*dbt_project\.yml"):
        generator("make_dictionary").read_manifest(tmp_path)


def test_the_table_of_the_performance_page_is_the_last_whole_run() -> None:
    module = generator("make_performance")
    shown = module.PAGE.read_text()
    rows = [json.loads(line) for line in module.LAST.read_text().splitlines()]
    assert module.page(shown, rows) == shown, "benchmarks/last.jsonl has other figures: run `make docs`"


def test_a_figure_that_misses_its_goal_is_marked_and_one_without_a_run_is_said_to_be_missing() -> None:
    run = {"date": "2026-11-26", "commit": "03ef0dd", "machine": "two processors"}
    rows = [
        {"name": "refresh", "value": 16.0, "unit": "s", "reference": 10.0, "ratio": 1.6, **run},
        {"name": "latency_p99", "value": 1.5, "unit": "s", "reference": 1.0, "ratio": 1.5, **run},
    ]
    lines = generator("make_performance").table(rows).splitlines()
    assert "| 1 | 2026-11-26 | `03ef0dd` | two processors |" in lines
    (refresh,) = [line for line in lines if "`refresh`" in line]
    assert refresh.endswith("| 16 s | 10 s: beside 1 million | 1.6 | ratio at most 1.5: **missed** | 1 |")
    (latency,) = [line for line in lines if "`latency_p99`" in line]
    assert latency.endswith("| 1.5 | at most 2 s | 1 |")
    (start,) = [line for line in lines if "`cli_start`" in line]
    assert "| not measured |" in start


def landing_tables() -> duckdb.DuckDBPyConnection:
    """The landing tables, the internal ones among them, by their names."""
    connection = duckdb.connect()
    create_tables(connection)
    connection.execute(f"set search_path = '{READERS},{INTERNAL}'")
    return connection


def test_every_landing_column_is_described_with_its_type() -> None:
    connection = landing_tables()
    made = {
        table: [(name, kind.upper()) for name, kind, *_ in connection.execute(f"describe {table}").fetchall()]
        for (table,) in connection.execute("select table_name from information_schema.tables").fetchall()
    }
    sources = yaml.safe_load((MODELS / "staging" / "__sources.yml").read_text())["sources"]
    described = {
        table["name"]: [(column["name"], column["data_type"].upper()) for column in table["columns"]]
        for source in sources
        for table in source["tables"]
    }
    assert described == made
    assert {source["schema"]: all(t["name"].startswith("_") for t in source["tables"]) for source in sources} == {
        READERS: False,
        INTERNAL: True,
    }


@pytest.mark.parametrize(
    ("described", "complaint"),
    [
        (manifest(column(description="")), "cells, column cell_id: no description in the YAML; give it one"),
        (manifest(column(description=" ")), "cells, column cell_id: no description in the YAML; give it one"),
        (manifest(column(data_type="")), "cells, column cell_id: no data_type in the YAML; give it one"),
        (manifest(column(), description=""), "cells: no description in the YAML; give it one"),
    ],
)
def test_what_is_not_described_is_refused_by_name(described: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BatteryError) as refusal:
        generator("make_dictionary").dictionary(described)
    assert str(refusal.value) == complaint


def test_the_generator_ends_with_one_line_and_writes_nothing_when_a_column_is_not_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = generator("make_dictionary")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "read_manifest", lambda _project: manifest(column(description="")))
    assert module.main() == 2
    assert capsys.readouterr().err == (
        "make_dictionary: cells, column cell_id: no description in the YAML; give it one\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_description_is_put_into_its_cell_and_a_model_without_columns_is_fine() -> None:
    described = manifest(column(description="The cell,\na | b. No unit.\n"))
    described["nodes"] |= {
        "model.p.raw": model("raw", "staging", "view", "One.\n\nTwo.\n"),
        "test.p.unique": {"resource_type": "test"},
    }
    assert (
        generator("make_dictionary")
        .dictionary(described)
        .endswith(
            """
| part | tables |
| --- | --- |
| staging | [raw](#raw) |
| marts | [cells](#cells) |

## raw

A view, in staging.

One.

Two.

## cells

A table, in marts.

One row a cell.

| column | type | meaning |
| --- | --- | --- |
| `cell_id` | VARCHAR | The cell, a \\| b. No unit. |
"""
        )
    )


@pytest.mark.parametrize(
    "table",
    [
        "battery_ts_cleaned", "battery_quarantine", "battery_cell_windows", "battery_cell_cycles",
        "battery_retries", "battery_about", "battery_cell_events", "battery_cell_latest", "_commits", "_progress",
        "_cell_state", "_writers", "_retired",
    ],
)  # fmt: skip
def test_the_data_dictionary_has_every_column_of_a_landing_table(table: str) -> None:
    connection = landing_tables()
    columns = [name for name, *_ in connection.execute(f"describe {table}").fetchall()]
    section = DICTIONARY.partition(f"\n## {table}\n")[2].partition("\n## ")[0]
    assert [name for name in columns if f"\n| `{name}` |" not in section] == []


@pytest.mark.parametrize("reason", Reason)
def test_the_tables_and_the_guides_explain_every_reason(reason: Reason) -> None:
    assert f"`{reason}`" in DICTIONARY
    assert f"`{reason}`" in GUIDES


ALERTS = yaml.safe_load((ROOT / "docker" / "prometheus" / "alerts.yml").read_text())


@pytest.mark.parametrize(
    "rule", [rule for group in ALERTS["groups"] for rule in group["rules"]], ids=lambda r: r["alert"]
)
def test_the_guides_have_an_entry_for_every_alert_and_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert f"\n| `{rule['alert']}` |" in GUIDES
    assert set(rule["annotations"]) == {"summary", "action"}


def test_the_guides_explain_every_metric_of_the_worker() -> None:
    settings = Settings(_env_file=None)
    names = {family.name for family in Metrics(settings, Pulse(settings)).registry.collect()}
    own = {name for name in names if name.startswith("battery_")} | {"battery_bytewax_up"}
    assert {name for name in own if f"`{name}" not in GUIDES} == set()


@pytest.mark.parametrize("flag", Quality)
def test_the_data_dictionary_has_every_flag_with_its_bit(flag: Quality) -> None:
    assert f"| `{flag.name}` | {flag.value} |" in DICTIONARY


def test_the_data_dictionary_has_no_other_flags() -> None:
    found = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", DICTIONARY, re.MULTILINE)
    assert found == [(flag.name, str(flag.value)) for flag in Quality]


def test_the_description_of_the_flags_has_every_bit() -> None:
    (short,) = re.findall(r"{% docs quality %}(.*?){% enddocs %}", (MODELS / "columns.md").read_text(), re.DOTALL)
    assert {int(bit) for bit in re.findall(r"\b\d+\b", short)} == {0, *Quality}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_link_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    if page.name == "CHANGELOG.md":  # it names what was there at the time
        return
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+\.\w+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_test_that_the_explanations_name_exists() -> None:
    explanations = "\n".join(page.read_text() for page in (DOCS / "explanation").glob("*.md"))
    named = set(re.findall(r"`(test_\w+)`", explanations))
    assert len(named) > 100
    assert named - WRITTEN_TESTS == set()


def test_the_readme_is_short_and_begins_with_the_picture_of_the_fleet() -> None:
    readme = (ROOT / "README.md").read_bytes()
    assert len(readme) <= 9 * 1024
    assert re.match(rb"!\[[^]]+\]\(docs/pictures/fleet.png\)\n", readme)


@pytest.mark.parametrize("page", ["README.md", "docs/guides/your-data.md"])
def test_the_queries_that_are_shown_name_columns_that_exist(page: str) -> None:
    connection = duckdb.connect()
    for name, columns in TABLES.items():
        described = ", ".join(f'"{column}" {kind}' for column, kind in columns)
        connection.execute(f"create table {name} ({described})")
    queries = re.findall(r"```sql\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    queries += re.findall(r'\.sql\("(.*?)"\)', (ROOT / page).read_text())
    assert queries
    for query in queries:
        connection.execute(query)


def test_every_command_that_the_readme_and_the_guides_show_exists() -> None:
    shown = set(re.findall(r"(?:^|`)battery ([a-z]+)", GUIDES + (ROOT / "README.md").read_text(), re.MULTILINE))
    assert shown - set(cli.list_commands(click.Context(cli))) == set()


def test_the_page_of_settings_shows_every_section_of_the_example() -> None:
    sections = re.findall(r"^(# --- .+? -+)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    page = (DOCS / "reference" / "settings.md").read_text()
    assert re.findall(r'^:start-after: "(.+)"$', page, re.MULTILINE) == sections


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert tmp_path / "reference" / "tables.html" in pages
    loads = re.compile(
        r"""<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//|<link\b[^>]*\bhref="(?:https?:)?//"""
    )
    assert [page.name for page in pages if loads.search(page.read_text())] == []
    loads = re.compile(r"""(?:url\(|@import\s)["']?(?:https?:)?//""")
    assert [style.name for style in tmp_path.rglob("*.css") if loads.search(style.read_text())] == []


def test_every_model_is_described_and_every_one_in_sql_has_an_enforced_contract() -> None:
    described = {
        model["name"]: model.get("config", {}).get("contract", {}).get("enforced", True)
        for path in MODELS.rglob("*.yml")
        for model in (yaml.safe_load(path.read_text()) or {}).get("models", [])
    }
    written = {path.stem: path.suffix for path in MODELS.rglob("*") if path.suffix in {".sql", ".py"}}
    assert described == {name: suffix == ".sql" for name, suffix in written.items()}
    assert yaml.safe_load((ROOT / "dbt_project" / "dbt_project.yml").read_text())["models"]["battery"]["+contract"] == {
        "enforced": True
    }
