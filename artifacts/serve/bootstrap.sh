#!/bin/sh
# Run by the SSM document on a host: fetch the host's code by its digest, then hand over to it.
# Parameters arrive as environment variables (interpolationType ENV_VAR), never as program text.
set -eu
umask 022
if [ -z "${SSM_Bucket:-}" ] || [ -z "${SSM_Bundle:-}" ]; then
    echo "amazonei: the parameters did not arrive; SSM Agent 3.3.2746.0 or later is required" >&2
    exit 5
fi
home=${AMAZONEI_HOME:-/opt/amazonei}
# The environment that serves; before there is one, the image's interpreter.
python=$home/venv/bin/python
[ -x "$python" ] || python=${AMAZONEI_PYTHON:-}
if [ -z "$python" ] && [ -f "$home/host.json" ]; then
    python=$(sed -n 's/.*"interpreter": *"\([^"]*\)".*/\1/p' "$home/host.json")
fi
# An image without PyTorch names an interpreter that the first installation makes.
[ -n "$python" ] && [ -x "$python" ] || python=$(command -v python3.11 || command -v python3)
bundle=$home/bundles/$SSM_Bundle
if [ ! -d "$bundle" ]; then
    mkdir -p "$home/bundles"
    incoming=$(mktemp -d "$home/bundles/.incoming.XXXXXX")
    trap 'rm -rf "$incoming"' EXIT
    # The tool takes the bundle for granted once the note of an artifact's recipe says that it is there.
    aws s3api get-object --bucket "$SSM_Bucket" --key "artifacts/bundles/$SSM_Bundle.zip" \
        "$incoming/bundle.zip" >/dev/null || {
        echo "amazonei: no host bundle; if it is not in the bucket: amazonei ship ARTIFACT --resend" >&2
        exit 5
    }
    if [ "$(sha256sum "$incoming/bundle.zip" | cut -d ' ' -f 1)" != "$SSM_Bundle" ]; then
        echo "amazonei: the host bundle does not have the digest that was asked for" >&2
        exit 4
    fi
    mkdir -m 755 "$incoming/unpacked"
    "$python" -m zipfile -e "$incoming/bundle.zip" "$incoming/unpacked"
    # A rename is atomic; when another command was quicker, its copy has the same digest.
    mv -T "$incoming/unpacked" "$bundle" 2>/dev/null || [ -d "$bundle" ]
    rm -rf "$incoming"
    trap - EXIT
fi
cd "$bundle"
PYTHONPATH=$bundle
export PYTHONPATH
exec "$python" -m artifacts.serve.host
