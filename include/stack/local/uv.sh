#!/bin/sh
# Run uv as pip is set up on this machine: uv.sh PYTHON UV ARGUMENTS...
# Networks with a certificate authority or a package mirror of their own tell pip of it. uv has certificates of its own
# and reads none of pip's settings, so they are handed to it here. What is set for uv itself wins. pip's configuration
# files are read by a pip: that of PYTHON where it has one, else one on PATH.
set -eu

python=$1
uv=$2
shift 2

# lines such as global.index-url='https://...'
of_pip=$("$python" -m pip config list 2>/dev/null || pip3 config list 2>/dev/null || pip config list 2>/dev/null || true)

pip_setting() { # what stands for `pip install` wins over what stands for all of pip
    for section in install global; do
        echo "$of_pip" | sed -n "s/^$section\.$1='\(.*\)'\$/\1/p"
    done | sed -n 1p
}

is_set_for_uv() { # whether a file of uv's settings names an index
    grep -qs index "${UV_CONFIG_FILE:-${XDG_CONFIG_HOME:-$HOME/.config}/uv/uv.toml}" /etc/uv/uv.toml
}

# uv looks into the system's store of certificates where it is told to, and into SSL_CERT_FILE alone where that is set.
if [ -z "${UV_SYSTEM_CERTS:-}${UV_NATIVE_TLS:-}" ]; then
    if "$uv" --help 2>/dev/null | grep -q -e --system-certs; then
        export UV_SYSTEM_CERTS=1
    else
        export UV_NATIVE_TLS=1 # the name in older versions of uv
    fi
fi
if [ -z "${SSL_CERT_FILE:-}" ]; then
    bundle=${REQUESTS_CA_BUNDLE:-${CURL_CA_BUNDLE:-${PIP_CERT:-$(pip_setting cert)}}} # in pip's own order
    [ ! -f "$bundle" ] || export SSL_CERT_FILE="$bundle"
fi
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] && ! is_set_for_uv; then
    index=${PIP_INDEX_URL:-$(pip_setting index-url)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
fi
exec "$uv" "$@"
