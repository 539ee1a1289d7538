#!/usr/bin/env bash
# Sets the addresses that the n8n community node names: everywhere at once, from those in n8n-nodes/package.json.
#
#   scripts/n8n/addresses.sh                              print them
#   scripts/n8n/addresses.sh HOMEPAGE REPOSITORY EMAIL    replace them
#
# HOMEPAGE has the documentation (and #credentials), REPOSITORY is what is published, EMAIL the author's. package.json is the
# setting; the node's tests hold every other file of the package to it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

[ $# -eq 0 ] || [ $# -eq 3 ] || die "usage: scripts/n8n/addresses.sh [HOMEPAGE REPOSITORY EMAIL]"
cd "$ROOT/n8n-nodes"

python3 - "$@" <<'PYTHON'
import json
import pathlib
import sys

manifest = json.loads(pathlib.Path("package.json").read_text())
current = [manifest["homepage"], manifest["repository"]["url"], manifest["author"]["email"]]
wanted = sys.argv[1:]
if not wanted:
    print(*current, sep="\n")
files = [pathlib.Path("package.json"), pathlib.Path("README.md")]
files += [file for folder in ("credentials", "nodes") for file in pathlib.Path(folder).rglob("*") if file.is_file()]
for file in files if wanted else []:
    before = text = file.read_text()
    for old, new in zip(current, wanted, strict=True):
        text = text.replace(old, new)
    if text != before:
        file.write_text(text)
PYTHON
