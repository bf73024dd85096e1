#!/bin/sh
# Build the Python environment: environment.sh FOLDER REQUIREMENTS
# It holds the packages and, installed in place, this project: that makes the program FOLDER/bin/warehouse.
# uv does it where it is there or can be installed, else venv and pip. A file in FOLDER keeps a checksum of the
# requirement files, so that a second call does nothing.
set -eu

folder=$1
requirements=$2
constraints=include/stack/local/constraints.txt
python=$folder/bin/python

# Of pyproject.toml the first part counts, down to the settings of tools: it says what is installed.
project=$(sed '/^\[tool\.ruff/,$d' pyproject.toml)
files="$constraints requirements.txt include/stack/local/requirements.txt tests/requirements.txt"
# shellcheck disable=SC2086  # the list is split on purpose
wanted=$( (cat $files && echo "$project") | cksum)
stamp=$folder/installed-$(dirname "$requirements" | tr / -)

# The tests' environment holds the local stack's as well. `astro dev start --standalone` replaces .venv by one of its own,
# perhaps with another Python. Its pyvenv.cfg is younger than the stamp: then the stamp does not count.
exit_if_done() {
    for each in "$stamp" "$folder/installed-tests"; do
        if [ -x "$python" ] && [ "$(cat "$each" 2>/dev/null)" = "$wanted" ] && [ "$each" -nt "$folder/pyvenv.cfg" ]; then
            exit 0
        fi
    done
}

find_python() {
    for name in ${PYTHON_FOR_ENV:-python3.12 python3.11 python3.13 python3}; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
}

fail() {
    echo "$1" >&2
    exit 1
}

exit_if_done
began=$(date +%s)
base=$(find_python)
# Two calls at once would spoil the environment. The lock is on this file, which this shell holds open: it ends when the
# shell ends, also where the shell is killed.
exec 9<"$0"
[ -z "$base" ] || "$base" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
exit_if_done
echo "environment: installing into $folder (a few minutes where nothing is cached)" >&2
uv=$(command -v uv || true)
if ! "$python" -c pass 2>/dev/null || { [ -z "$uv" ] && ! "$python" -m pip --version >/dev/null 2>&1; }; then
    rm -rf "$folder"
    if [ -n "$uv" ]; then
        sh include/stack/local/uv.sh "$base" "$uv" venv --quiet --python "${base:-3.12}" "$folder"
    elif [ -n "$base" ]; then
        "$base" -m venv "$folder" || {
            rm -rf "$folder"
            fail "Python's venv module is incomplete: install it (Debian: python3-venv) or uv."
        }
    else
        fail "No Python 3.11, 3.12 or 3.13 on PATH (dbt does not run on 3.14 yet): install one or uv, or name it with PYTHON_FOR_ENV=/path/to/python."
    fi
fi
if [ -z "$uv" ] && "$python" -m pip install --quiet --disable-pip-version-check uv; then
    uv=$folder/bin/uv
fi
# Bytecode is compiled here once. Otherwise each of Airflow's many processes may have to.
if [ -z "$uv" ] || ! sh include/stack/local/uv.sh "$python" "$uv" pip install --quiet --compile-bytecode --python "$python" --editable . \
    --requirement "$requirements" --constraint "$constraints"; then
    echo "environment: uv can't be had or can't install here, so pip does, which takes longer" >&2
    "$python" -m pip install --quiet --disable-pip-version-check --editable . \
        --requirement "$requirements" --constraint "$constraints"
fi
echo "$wanted" >"$stamp"
echo "environment: ready after $(($(date +%s) - began)) s" >&2
