"""The documents name what the code has: a column, flag, reason or test that they miss fails here."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml
from support.places import ROOT

from dataflows.health import Pulse
from dataflows.metrics import Metrics
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.reading import Quality, Reason
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

MODELS = ROOT / "dbt_project" / "models"
DICTIONARY = (ROOT / "docs" / "data-dictionary.md").read_text()


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dictionary", ROOT / "docs" / "make_dictionary.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project(folder: Path, columns: str, blocks: str = "") -> Path:
    """A dbt project's folder of models with one mart, whose columns are those."""
    models = folder / "models"
    (models / "marts").mkdir(parents=True)
    (models / "marts" / "tests.yml").write_text(
        f"models:\n  - name: cells\n    description: One row a cell.\n    columns: {columns}\n"
    )
    (models / "columns.md").write_text(blocks)
    return models


def test_the_data_dictionary_is_what_the_yaml_says() -> None:
    assert generator().dictionary(MODELS) == DICTIONARY, (
        "dbt_project describes other tables than docs/data-dictionary.md does: run `make docs`"
    )


def test_every_landing_column_is_described_with_its_type() -> None:
    connection = duckdb.connect()
    create_tables(connection)
    made = {
        table: [(name, kind.upper()) for name, kind, *_ in connection.execute(f"describe {table}").fetchall()]
        for (table,) in connection.execute("select table_name from information_schema.tables").fetchall()
    }
    (source,) = yaml.safe_load((MODELS / "staging" / "__sources.yml").read_text())["sources"]
    described = {
        table["name"]: [(column["name"], column["data_type"].upper()) for column in table["columns"]]
        for table in source["tables"]
    }
    assert described == made


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ("[{name: cell_id, data_type: varchar}]", "cells, column cell_id: no description in the YAML; give it one"),
        (
            "[{name: cell_id, data_type: varchar, description: ' '}]",
            "cells, column cell_id: no description in the YAML; give it one",
        ),
        (
            "[{name: cell_id, description: The cell.}]",
            "cells, column cell_id: no data_type in the YAML; give it one",
        ),
        (
            "[{name: cell_id, data_type: varchar, description: \"{{ doc('cel_id') }}\"}]",
            "cells, column cell_id: there is no doc block cel_id; write it or correct the name",
        ),
    ],
)
def test_a_column_without_a_description_is_refused_by_name(tmp_path: Path, columns: str, complaint: str) -> None:
    with pytest.raises(BatteryError) as refusal:
        generator().dictionary(project(tmp_path, columns, "{% docs cell_id %}The cell.{% enddocs %}"))
    assert str(refusal.value) == complaint


def test_the_generator_ends_with_one_line_and_writes_nothing_when_a_column_is_not_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path / "dbt_project", "[{name: cell_id, data_type: varchar}]")
    (tmp_path / "docs").mkdir()
    module = generator()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert module.main() == 2
    assert capsys.readouterr().err == (
        "make_dictionary: cells, column cell_id: no description in the YAML; give it one\n"
    )
    assert list((tmp_path / "docs").iterdir()) == []


def test_a_description_is_put_into_its_cell_and_a_model_without_columns_is_fine(tmp_path: Path) -> None:
    models = project(
        tmp_path,
        "[{name: cell_id, data_type: varchar, description: \"{{ doc('cell_id') }} No unit.\"}]",
        "{% docs cell_id %}\nThe cell,\na | b.\n{% enddocs %}\n",
    )
    (models / "staging").mkdir()
    (models / "staging" / "raw.yml").write_text(
        "models:\n  - name: raw\n    description: |\n      One.\n\n      Two.\n"
    )
    (models / "staging" / "raw.sql").write_text("{{ config(materialized='view') }} select 1")
    (tmp_path / "dbt_project.yml").write_text("name: p\nmodels: {p: {marts: {+materialized: table}}}\n")
    assert (
        generator()
        .dictionary(models)
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
        "battery_retries", "_commits", "_progress", "_cell_state", "_writers", "_retired",
    ],
)  # fmt: skip
def test_the_data_dictionary_has_every_column_of_a_landing_table(table: str) -> None:
    connection = duckdb.connect()
    create_tables(connection)
    columns = [name for name, *_ in connection.execute(f"describe {table}").fetchall()]
    assert [name for name in columns if f"`{name}`" not in DICTIONARY] == []


@pytest.mark.parametrize("reason", Reason)
def test_the_documents_explain_every_reason(reason: Reason) -> None:
    assert f"`{reason}`" in DICTIONARY
    assert f"`{reason}`" in (ROOT / "docs" / "operations.md").read_text()


ALERTS = yaml.safe_load((ROOT / "docker" / "prometheus" / "alerts.yml").read_text())


@pytest.mark.parametrize(
    "rule", [rule for group in ALERTS["groups"] for rule in group["rules"]], ids=lambda r: r["alert"]
)
def test_the_operations_have_an_entry_for_every_alert_and_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert f"\n| `{rule['alert']}` |" in (ROOT / "docs" / "operations.md").read_text()
    assert set(rule["annotations"]) == {"summary", "action"}


def test_the_operations_explain_every_metric_of_the_worker() -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    said = (ROOT / "docs" / "operations.md").read_text()
    names = {family.name for family in Metrics(settings, Pulse(settings)).registry.collect()}
    own = {name for name in names if name.startswith("battery_")} | {"battery_bytewax_up"}
    assert {name for name in own if f"`{name}" not in said} == set()


@pytest.mark.parametrize("flag", Quality)
def test_the_data_dictionary_has_every_flag_with_its_bit(flag: Quality) -> None:
    assert f"| `{flag.name}` | {flag.value} |" in DICTIONARY


def test_the_data_dictionary_has_no_other_flags() -> None:
    found = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", DICTIONARY, re.MULTILINE)
    assert found == [(flag.name, str(flag.value)) for flag in Quality]


def test_the_description_of_the_flags_has_every_bit() -> None:
    (short,) = re.findall(r"{% docs quality %}(.*?){% enddocs %}", (MODELS / "columns.md").read_text(), re.DOTALL)
    assert {int(bit) for bit in re.findall(r"\b\d+\b", short)} == {0, *Quality}


def test_every_test_that_the_architecture_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "architecture.md").read_text()))
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert named - written == set()


def test_every_link_between_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


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
