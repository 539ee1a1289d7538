#!/usr/bin/env bash
# Builds and packs the n8n community node; prints the path of the tarball.
#
# Does nothing when no source changed since the last time. What comes out is what would be published, so it is what the
# demo and the end-to-end tests load.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# What a strict umask makes private is so in the package, where the n8n of another user could not read it.
umask 022

[ $# -eq 0 ] || die "usage: scripts/n8n/pack.sh"

cd "$ROOT/n8n-nodes"
# Inside node_modules on purpose: whatever replaces the tools forgets what they built.
STAMP=node_modules/.packed

# Names count, not only contents: a renamed file makes another package.
sources_key() {
  find package.json package-lock.json tsconfig.json README.md LICENSE.md credentials icons nodes -type f |
    LC_ALL=C sort | while IFS= read -r file; do printf '%s %s\n' "$file" "$(hash_of "$file")"; done | hash_of -
}

pack() {
  local tarball
  # Recomputed under the lock: whoever held it before may have packed these very sources.
  ! is_packed || return 0
  say "Building and packing n8n-nodes-email-sender (10 s)"
  # CI: no spinner. The build empties dist/ first, so nothing of a deleted source is packed.
  CI=true run_quietly npm run build || return
  chmod -R u=rwX,go=rX dist && chmod 644 package.json README.md LICENSE.md || return
  tarball=$(npm pack --silent --ignore-scripts 2>/dev/null) || complain "npm pack failed in $PWD" || return
  printf '%s %s\n' "$(sources_key)" "$tarball" >"$STAMP.new" && mv "$STAMP.new" "$STAMP"
}

is_packed() {
  local key tarball
  [ -f "$STAMP" ] && read -r key tarball <"$STAMP" && [ -f "$tarball" ] && [ "$key" = "$(sources_key)" ]
}

ensure_node_tools
is_packed || with_lock n8n-pack pack
read -r _ TARBALL <"$STAMP"
printf '%s\n' "$PWD/$TARBALL"
