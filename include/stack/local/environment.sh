#!/bin/sh
# Build the Python environment: environment.sh FOLDER REQUIREMENTS
# uv where it is there or can be installed from the package registry, else venv and pip. What is installed is remembered
# by a checksum of the requirement files, so that a second call does nothing.
set -eu

folder=$1
requirements=$2
constraints=include/stack/local/constraints.txt
python=$folder/bin/python

wanted=$(cat "$constraints" requirements.txt include/stack/local/requirements.txt tests/requirements.txt | cksum)
stamp=$folder/installed-$(dirname "$requirements" | tr / -)

# The tests' environment holds the local stack's as well. `astro dev start --standalone` makes .venv anew in its place,
# perhaps with another Python: then a younger pyvenv.cfg says that the stamp is worth nothing.
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
# Two at once would spoil it. The lock is on this file, open in this shell, and ends with it, however that ends.
exec 9<"$0"
[ -z "$base" ] || "$base" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
exit_if_done
echo "environment: installing into $folder (a few minutes where nothing is cached)" >&2
uv=$(command -v uv || true)
if ! "$python" -c pass 2>/dev/null || { [ -z "$uv" ] && ! "$python" -m pip --version >/dev/null 2>&1; }; then
    rm -rf "$folder"
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --python "${base:-3.12}" "$folder"
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
# Compiled now, once, or each of Airflow's many processes may have to.
if [ -z "$uv" ] || ! "$uv" pip install --quiet --compile-bytecode --python "$python" --requirement "$requirements" \
    --constraint "$constraints"; then
    echo "environment: uv can't be had or can't install here, so pip does, which takes longer" >&2
    "$python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" --constraint "$constraints"
fi
echo "$wanted" >"$stamp"
echo "environment: ready after $(($(date +%s) - began)) s" >&2
