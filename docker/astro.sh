#!/bin/sh
# Puts the pipeline into Airflow's own environment, that of `python`; requirements.txt has brought what it depends on.
set -eu

# The name of a Runtime says which minor version of Airflow it has, but not which patch.
python - <<'END'
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

installed = version("apache-airflow").partition("+")[0]  # Astro builds its own, 3.3.2+astro.1 and the like
packages = tomllib.loads(Path("uv.lock").read_text())["package"]
(locked,) = (package["version"] for package in packages if package["name"] == "apache-airflow")
if installed != locked:
    sys.exit(f"this image has Airflow {installed}, but uv.lock {locked}; name the Runtime that has it in Dockerfile")
END

python -m pip install --quiet --no-cache-dir --no-deps .
battery --version
