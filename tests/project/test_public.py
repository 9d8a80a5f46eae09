"""What a stranger meets first: the licence, the version, and what continuous integration runs."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from support.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_license_is_the_whole_apache_license_and_the_metadata_names_it() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "Copyright 2026 The battery-pipeline authors" in text
    assert (PROJECT["license"], PROJECT["license-files"]) == ("Apache-2.0", ["LICENSE"])


def test_every_place_that_tells_the_version_tells_the_same_one() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest, date = re.findall(r"^## (\d+\.\d+\.\d+) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    images = re.findall(r"image: battery-\w+:(\S+)", (ROOT / "docker-compose.yml").read_text())
    (locked,) = [
        package["version"]
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
        if package["name"] == PROJECT["name"]
    ]
    assert {citation["version"], newest, locked, *images} == {PROJECT["version"]}
    assert str(citation["date-released"]) == date


def test_changes_are_noted_under_unreleased_above_the_newest_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert PROJECT["version"] in headings[1]


def test_continuous_integration_calls_make_targets_alone_on_every_python_of_the_metadata() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    called = re.compile(r'(?:sudo env "CI=\$CI" "PATH=\$PATH" )?make ([a-z-]+)(?: PYTHON=.+)?')
    assert [command for command in commands if not called.fullmatch(command)] == []
    assert {called.sub(r"\1", command) for command in commands} <= TARGETS
    assert {
        f"Programming Language :: Python :: {version}" for version in jobs["test"]["strategy"]["matrix"]["python"]
    } == {classifier for classifier in PROJECT["classifiers"] if "Python ::" in classifier}


def test_the_hooks_before_a_commit_are_local_and_call_make_targets() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repository["repo"] for repository in repositories} == {"local"}
    entries = {hook["entry"] for repository in repositories for hook in repository["hooks"]}
    assert {entry.removeprefix("make ") for entry in entries} <= TARGETS


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"])
def test_the_pages_for_contributors_name_only_make_targets_that_exist(page: str) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE))
    assert named <= TARGETS
