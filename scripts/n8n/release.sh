#!/usr/bin/env bash
# Makes a release of the n8n community node: version, commit and tag. The tag, pushed, publishes it.
#
#   scripts/n8n/release.sh --check VERSION   say what stands in the way; changes nothing
#   scripts/n8n/release.sh VERSION           set the version, commit, tag n8n-nodes-vVERSION
#
# Publishing itself is .github/workflows/publish-n8n-node.yml: n8n demands provenance, which only a workflow can state.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

check_only=false
[ "${1:-}" != --check ] || { check_only=true && shift; }
[ $# -eq 1 ] || die "usage: scripts/n8n/release.sh [--check] VERSION"
VERSION=$1
TAG=n8n-nodes-v$VERSION

cd "$ROOT"
[[ $VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "a version is like 1.2.3, not '$VERSION'"
[ -z "$(git status --porcelain)" ] || die "the checkout has changes that are not committed"
! git rev-parse -q --verify "refs/tags/$TAG" >/dev/null || die "there is a tag $TAG already"
grep -q "^### $VERSION\$" n8n-nodes/README.md || die "n8n-nodes/README.md has no '### $VERSION' in its version history"
! grep -q '\.example' n8n-nodes/package.json ||
  die "the addresses are those of nobody: scripts/n8n/addresses.sh sets them all"

ensure_node_tools
run_quietly npm --prefix n8n-nodes run lint || die "the lint of n8n-nodes/ fails"
run_quietly npm --prefix n8n-nodes test || die "the tests of n8n-nodes/ fail"
if $check_only; then
  say "nothing stands in the way of $TAG"
  exit
fi

(cd n8n-nodes && npm version --no-git-tag-version --allow-same-version "$VERSION" >/dev/null)
git commit -qam "Release n8n-nodes-email-sender $VERSION" || true
git tag -a "$TAG" -m "n8n-nodes-email-sender $VERSION"
say "push the tag to publish it: git push origin HEAD $TAG"
