#!/bin/sh
# Installs the pipeline from its lock into a virtual environment of its own: install.sh TARGET [EXTRA…]
# In a folder that holds pyproject.toml and uv.lock alone, it installs what the pipeline depends on: a layer of an image
# that changes only with the lock.
set -eu
target=$1
shift

project=""
[ -d battery ] || project=--no-install-project
extras=""
for extra in "$@"; do extras="$extras --extra $extra"; done

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
PIP_USER=0 "$tools/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check 'uv>=0.9,<1'
# shellcheck disable=SC2086  # these are lists of words
UV_NO_CACHE=${UV_NO_CACHE:-true} UV_PROJECT_ENVIRONMENT=$target \
    "$tools/bin/uv" sync --quiet --locked --no-default-groups --no-editable \
    --link-mode copy --compile-bytecode --python "$(command -v python3)" $project $extras

# What is there to build and test the largest packages is no use to those who run them.
for package in networkx numpy pandas pyarrow; do
    for place in "$target"/lib/python3.*/site-packages/$package; do
        if [ -d "$place" ]; then
            rm -rf "$place/include"
            find "$place" -type d -name tests -prune -exec rm -rf {} +
        fi
    done
done
