# What every entry point shares: saying what happens, and making sure the tools are there.
#
# Source it, do not run it:
#
#   . "$(dirname "$0")/lib/common.sh"
#   ensure_venv requirements-dev.lock
#
# Every `ensure_*` function is idempotent, cheap when there is nothing to do, shows one line when
# there is, and returns non-zero with one clear line when it cannot. Afterwards:
#
#   ROOT    the checkout                    CACHE   what is kept between checkouts
#   VENV    $ROOT/.venv                     PY      its interpreter
#   PG_BIN  PostgreSQL's server programs    CHROMIUM  the browser
#   WRK     the HTTP load generator
#
# Bash 3.2 is enough (macOS).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${EMAIL_SENDER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/email-sender}
VENV=$ROOT/.venv
PY=$VENV/bin/python
PG_BIN=
CHROMIUM=
WRK=

# Compiled modules go beside the environment that they belong to, also where Python was told to leave
# none in the tree: each of the many processes that the tests start would else compile all it imports.
export PYTHONPYCACHEPREFIX=$VENV/pycache
unset PYTHONDONTWRITEBYTECODE

UV_LOCK=requirements-uv.lock
RUNTIME_LOCK=requirements.lock
CLUSTER_LOCK=requirements-cluster.lock
DEV_LOCK=requirements-dev.lock

say() { printf '==> %s\n' "$*" >&2; }
# complain TEXT: for functions, whose caller decides. die TEXT: for entry points.
complain() {
  printf 'error: %s\n' "$*" >&2
  return 1
}
die() { complain "$@" || exit 1; }

# hash_of FILE...: one digest of the files' contents.
hash_of() {
  if command -v sha256sum >/dev/null 2>&1; then
    cat "$@" | sha256sum | cut -d' ' -f1
  else
    cat "$@" | shasum -a 256 | cut -d' ' -f1
  fi
}

# run_quietly COMMAND...: shows the command's output only if it fails.
run_quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [ "$status" -eq 0 ] || cat "$log" >&2
  rm -f "$log"
  return "$status"
}

# with_lock NAME COMMAND...: one process of this machine at a time, where flock exists. Two
# terminals that both find the environment out of date must not both rebuild it.
with_lock() {
  local name=$1
  shift
  mkdir -p "$CACHE"
  if command -v flock >/dev/null 2>&1; then
    (
      flock 9
      "$@" 9>&-
    ) 9>"$CACHE/$name.lock"
  else
    "$@"
  fi
}

# --- Python -------------------------------------------------------------------------------------

# find_python: prints the first interpreter that is new enough and can make environments.
find_python() {
  local candidate test
  test='import sys; sys.exit(sys.version_info < (3, 11))
import ensurepip, venv'
  for candidate in ${PYTHON:-} python3 python python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$test" >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  complain "Python 3.11 or newer with venv is needed (Debian: apt-get install python3 python3-venv);" \
    "set PYTHON to its path if it is installed elsewhere"
}

# ensure_uv: sets UV to the pinned installer. It has an environment of its own, so that .venv holds
# what the lock says and nothing else, and checkouts share its 60 MB.
ensure_uv() {
  local key home
  key=$(hash_of "$ROOT/$UV_LOCK")
  home=$CACHE/uv-${key:0:12}
  UV=$home/bin/uv
  [ -f "$home/.complete" ] && "$UV" --version >/dev/null 2>&1 && return
  with_lock uv _install_uv "$home"
}

_install_uv() {
  local home=$1 python
  [ -f "$home/.complete" ] && "$home/bin/uv" --version >/dev/null 2>&1 && return
  python=$(find_python) || return
  say "Installing the package installer (about 10 s)"
  rm -rf "$home"
  run_quietly "$python" -m venv "$home" || return
  # Only a wheel: where the index has lost this machine's, building from source would take a compiler
  # that nothing here asks for, and build tools that no lock names.
  run_quietly "$home/bin/python" -m pip install --disable-pip-version-check --no-input \
    --require-hashes --only-binary :all: -r "$ROOT/$UV_LOCK" ||
    complain "the package installer ($UV_LOCK) cannot be installed; what pip said is above" || return
  touch "$home/.complete"
}

# A mirror or a private certificate that pip was told about holds for uv too. The pip asked is that of
# UV's own environment: in .venv there need be none, after an interruption.
_share_pip_settings() {
  if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    local index
    index=${PIP_INDEX_URL:-$("${UV%/*}/python" -m pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
  fi
  if [ -z "${SSL_CERT_FILE:-}" ]; then
    local certificates
    certificates=${PIP_CERT:-$("${UV%/*}/python" -m pip config get global.cert 2>/dev/null || true)}
    [ ! -f "$certificates" ] || export SSL_CERT_FILE=$certificates
  fi
}

# ensure_venv LOCK: .venv holds exactly the packages of LOCK, and the project itself, editable.
#
# The development lock is a superset of the runtime lock with the same versions (a test holds them
# to it), so an environment made for development also serves `ensure_venv requirements.lock` and is
# not taken down to it.
ensure_venv() {
  _venv_holds "$1" || with_lock venv _build_venv "$1"
}

# What decides the environment: the lock, and the sections of pyproject.toml that say how the
# project installs. A changed lint rule is no reason to install anything.
_venv_key() {
  awk '/^\[/ { kept = /^\[(build-system|project|tool\.hatch)/ } kept' "$ROOT/pyproject.toml" |
    hash_of - "$ROOT/$1"
}

_venv_holds() {
  local stamp
  [ -x "$PY" ] && stamp=$(cat "$VENV/.stamp" 2>/dev/null) || return
  [ "$stamp" = "$1 $(_venv_key "$1")" ] && return
  [ "$1" = "$RUNTIME_LOCK" ] && [ "$stamp" = "$DEV_LOCK $(_venv_key "$DEV_LOCK")" ]
}

_build_venv() {
  local lock=$1 python
  _venv_holds "$lock" && return
  ensure_uv || return
  # An interpreter that was upgraded or removed leaves links that point nowhere.
  if ! "$PY" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$(find_python) || return
    say "Making .venv with $("$python" --version)"
    rm -rf "$VENV"
    run_quietly "$python" -m venv "$VENV" || return
  fi
  rm -f "$VENV/.stamp"
  say "Installing the packages of $lock (20 s to 2 min the first time)"
  (
    _share_pip_settings
    cd "$ROOT" || exit
    # Only wheels, as above.
    run_quietly "$UV" pip sync --python "$PY" --require-hashes --only-binary :all: "$lock" &&
      # The build backend runs in an isolated environment, and it and all that it asks for are the
      # lock's: a build tool that the lock lacks is refused, not fetched as it is today.
      run_quietly "$UV" pip install --python "$PY" --no-deps \
        --build-constraints "$DEV_LOCK" --require-build-hashes --editable .
  ) || complain "the packages of $lock cannot be installed; what uv said is above" || return
  printf '%s %s\n' "$lock" "$(_venv_key "$lock")" >"$VENV/.stamp"
}

# --- System packages ----------------------------------------------------------------------------

_can_apt() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; }

# apt_install SECONDS PACKAGE...: only as root on Debian and its relatives. A name with a question
# mark before it, such as ?fonts-dejavu-core, is left out where no source has it.
apt_install() {
  local seconds=$1
  shift
  say "Installing ${*//\?/} (about $seconds s)"
  run_quietly _apt_install "$@" || complain "apt-get cannot install ${*//\?/}; what it said is above"
}

_apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  local name names=()
  # Each may fail and all be well: a source that is down or whose key has expired is no reason to go
  # without what the others have, and the lists of yesterday serve too.
  apt-get update || true
  # What an installation that was killed half-way leaves to be done before any other.
  dpkg --configure -a || true
  for name in "$@"; do
    case $name in
      \?*) ! apt-cache show "${name#\?}" >/dev/null || names+=("${name#\?}") ;;
      *) names+=("$name") ;;
    esac
  done
  apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${names[@]}"
}

_find_postgresql() {
  local folder
  for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -Vr) \
    "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v initdb 2>/dev/null)" 2>/dev/null)"; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && [ -x "$folder/postgres" ]; then
      PG_BIN=$folder
      return
    fi
  done
  return 1
}

# ensure_postgresql: sets PG_BIN. Starts nothing: the tests and the demo run servers of their own.
ensure_postgresql() {
  _find_postgresql && return
  if ! _can_apt; then
    complain "PostgreSQL's server programs are missing: install them (Debian: sudo apt-get install" \
      "postgresql; macOS: brew install postgresql)"
    return
  fi
  with_lock apt _install_postgresql || return
  _find_postgresql || complain "postgresql is installed, but initdb, pg_ctl and postgres are not where Debian has them"
}

_install_postgresql() {
  _find_postgresql && return
  # The package would make and start a cluster on port 5432; nothing here wants it.
  local settings=/etc/postgresql-common/createcluster.d
  if [ ! -e "$settings" ]; then
    mkdir -p "$settings"
    echo 'create_main_cluster = false' >"$settings/email-sender.conf"
  fi
  apt_install 30 postgresql
}

# ensure_pgbouncer: the pooler of one test, which skips itself without it.
ensure_pgbouncer() {
  _find_pgbouncer && return
  if ! _can_apt; then
    complain "pgbouncer is missing: install it (Debian: sudo apt-get install pgbouncer; macOS: brew install pgbouncer)"
    return
  fi
  with_lock apt _install_pgbouncer || return
  _find_pgbouncer || complain "pgbouncer is installed, but no command of that name"
}

_find_pgbouncer() { PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null 2>&1; }

_install_pgbouncer() {
  _find_pgbouncer || apt_install 10 pgbouncer
}

# ensure_redis: the server that shared limits are tested and measured with; the tests skip themselves
# without it.
ensure_redis() {
  _find_redis && return
  if ! _can_apt; then
    complain "redis-server is missing: install it (Debian: sudo apt-get install redis-server; macOS: brew install redis)"
    return
  fi
  with_lock apt _install_redis || return
  _find_redis || complain "redis-server is installed, but no command of that name"
}

_find_redis() { command -v redis-server >/dev/null 2>&1; }

_install_redis() {
  _find_redis || apt_install 10 redis-server
}

# ensure_faketime: the library that gives one process a clock of its own; the drill that steps it leaves
# that out without it.
ensure_faketime() {
  _find_faketime && return
  if ! _can_apt; then
    complain "libfaketime is missing: install it (Debian: sudo apt-get install faketime)"
    return
  fi
  with_lock apt _install_faketime || return
  _find_faketime || complain "libfaketime is installed, but not where Debian has it"
}

_find_faketime() { ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; }

_install_faketime() {
  _find_faketime || apt_install 10 faketime
}

# ensure_prometheus: the server that walls between tenants are tested against; the tests skip themselves
# without it.
ensure_prometheus() {
  _find_prometheus && return
  if ! _can_apt; then
    complain "prometheus is missing: install it (Debian: sudo apt-get install prometheus; macOS: brew install prometheus)"
    return
  fi
  with_lock apt _install_prometheus || return
  _find_prometheus || complain "prometheus is installed, but no command of that name"
}

_find_prometheus() { command -v prometheus >/dev/null 2>&1; }

_install_prometheus() {
  _find_prometheus || apt_install 20 prometheus
}

# ensure_alertmanager: what grouping is measured against, with its command amtool.
ensure_alertmanager() {
  _find_alertmanager && return
  if ! _can_apt; then
    complain "Alertmanager is missing: install it (Debian: sudo apt-get install prometheus-alertmanager; macOS: brew install alertmanager)"
    return
  fi
  with_lock apt _install_alertmanager || return
  _find_alertmanager || complain "prometheus-alertmanager is installed, but no command of that name, or no amtool"
}

# Debian has a prefix for the server alone.
_find_alertmanager() {
  command -v amtool >/dev/null 2>&1 &&
    { command -v prometheus-alertmanager >/dev/null 2>&1 || command -v alertmanager >/dev/null 2>&1; }
}

_install_alertmanager() {
  _find_alertmanager || apt_install 20 prometheus-alertmanager
}

_find_chromium() {
  local candidate
  for candidate in "${EMAIL_SENDER_CHROMIUM:-}" chromium chromium-browser google-chrome \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1; then
      CHROMIUM=$(command -v "$candidate")
      return
    fi
  done
  return 1
}

# ensure_chromium: sets CHROMIUM. Fonts too, or a headless machine draws boxes for letters.
ensure_chromium() {
  _find_chromium && return
  if ! _can_apt; then
    complain "Chromium is missing: install it (Debian: sudo apt-get install chromium" \
      "fonts-dejavu-core) or set EMAIL_SENDER_CHROMIUM to a Chromium or Chrome"
    return
  fi
  with_lock apt _install_chromium || return
  _find_chromium || complain "chromium is installed, but no command of that name; set EMAIL_SENDER_CHROMIUM"
}

_install_chromium() {
  _find_chromium || apt_install 60 chromium \?fonts-dejavu-core \?fonts-noto-color-emoji
}

_find_wrk() {
  command -v wrk >/dev/null 2>&1 && WRK=$(command -v wrk)
}

# ensure_wrk: sets WRK, the HTTP load generator of the benchmarks.
ensure_wrk() {
  _find_wrk && return
  if ! _can_apt; then
    complain "wrk is missing: install it (Debian: sudo apt-get install wrk; macOS: brew install wrk)"
    return
  fi
  with_lock apt _install_wrk || return
  _find_wrk || complain "wrk is installed, but no command of that name"
}

_install_wrk() {
  _find_wrk || apt_install 10 wrk
}

# --- Containers ---------------------------------------------------------------------------------

# ensure_containers: buildah, which builds images, and podman with runc, which runs them.
ensure_containers() {
  _has_containers && return
  if ! _can_apt; then
    complain "buildah, podman and runc are missing: install them (Debian: sudo apt-get install buildah podman runc)"
    return
  fi
  with_lock apt _install_containers || return
  _has_containers || complain "buildah, podman and runc are installed, but not all of their commands"
}

_has_containers() {
  command -v buildah >/dev/null 2>&1 && command -v podman >/dev/null 2>&1 && command -v runc >/dev/null 2>&1
}

_install_containers() {
  _has_containers || apt_install 40 buildah podman runc
}

# ensure_debian_base: an archive of Debian 12 with Python, made of Debian's packages; sets DEBIAN_BASE
# to it. For images where no registry of images is reached. Needs root and Debian.
ensure_debian_base() {
  DEBIAN_BASE=$CACHE/debian-bookworm-python.tar
  [ -f "$DEBIAN_BASE" ] || with_lock debian-base _make_debian_base
}

_make_debian_base() {
  [ -f "$DEBIAN_BASE" ] && return
  if ! command -v debootstrap >/dev/null 2>&1; then
    if ! _can_apt; then
      complain "debootstrap is missing: install it (Debian: sudo apt-get install debootstrap)"
      return
    fi
    with_lock apt apt_install 10 debootstrap || return
  fi
  local folder
  folder=$(mktemp -d "$CACHE/debian-base.XXXXXX") || return
  say "Making a base of Debian's packages (1 to 2 min)"
  run_quietly debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$folder/tree" &&
    rm -rf "$folder/tree/var/cache/apt" "$folder/tree/var/lib/apt/lists" &&
    tar --numeric-owner -C "$folder/tree" -cf "$folder/base.tar" . && mv "$folder/base.tar" "$DEBIAN_BASE"
  local status=$?
  rm -rf "$folder"
  [ "$status" -eq 0 ] || complain "debootstrap cannot make a base; what it said is above"
}

# --- Go -----------------------------------------------------------------------------------------

# What go.mod of a folder of tests/support locks, checked against its go.sum, of programs of which nobody has
# a binary to give: of Compose one module for the schema, 3 s, or all of it, 107 MB and 2 min of two processors;
# a collector, 2 min as well.

# ensure_compose_schema: sets EMAIL_SENDER_COMPOSE_SCHEMA to the JSON schema of Compose files.
ensure_compose_schema() {
  name_compose
  [ -f "$EMAIL_SENDER_COMPOSE_SCHEMA" ] ||
    with_lock compose-schema _make_of_go docker_compose _take_compose_schema "$EMAIL_SENDER_COMPOSE_SCHEMA"
}

# ensure_compose: sets EMAIL_SENDER_COMPOSE to Docker Compose, which checks files without an engine.
ensure_compose() {
  name_compose
  [ -x "$EMAIL_SENDER_COMPOSE" ] ||
    with_lock compose _make_of_go docker_compose _build_compose "$EMAIL_SENDER_COMPOSE"
}

# name_compose: sets both to where they are, or would be.
name_compose() {
  local key home
  key=$(hash_of "$ROOT/tests/support/docker_compose/go.mod" "$ROOT/tests/support/docker_compose/go.sum") || return
  home=$CACHE/compose-${key:0:12}
  export EMAIL_SENDER_COMPOSE_SCHEMA=$home/compose-spec.json EMAIL_SENDER_COMPOSE=$home/compose
}

# ensure_collector: sets EMAIL_SENDER_COLLECTOR to the OpenTelemetry Collector that a benchmark compares
# with, unless it names one already.
ensure_collector() {
  local source=$ROOT/tests/support/otel_collector key
  [ -x "${EMAIL_SENDER_COLLECTOR:-}" ] && return
  key=$(hash_of "$source/go.mod" "$source/go.sum" "$source/main.go") || return
  export EMAIL_SENDER_COLLECTOR=$CACHE/collector-${key:0:12}/otel-collector
  [ -x "$EMAIL_SENDER_COLLECTOR" ] ||
    with_lock collector _make_of_go otel_collector _build_collector "$EMAIL_SENDER_COLLECTOR"
}

# _make_of_go FOLDER FUNCTION TARGET: what the function, called in the folder of tests/support, leaves in
# $1/made is the target, whole or not at all. Modules and objects, gigabytes of them, go as they came.
_make_of_go() {
  [ -f "$3" ] && return
  local source=$ROOT/tests/support/$1 folder status=0
  if ! command -v go >/dev/null 2>&1; then
    complain "Go is missing, which ${3##*/} is made by: install version" \
      "$(sed -n 's/^go //p' "$source/go.mod") or newer"
    return
  fi
  folder=$(mktemp -d "$CACHE/${1//_/-}.XXXXXX") || return
  (
    cd "$source" &&
      export GOMODCACHE="$folder/modules" GOCACHE="$folder/objects" GOFLAGS='-modcacherw -buildvcs=false' &&
      "$2" "$folder"
  ) && mkdir -p "${3%/*}" && mv "$folder/made" "$3" || status=1
  rm -rf "$folder"
  [ "$status" -eq 0 ] || complain "${3##*/} cannot be made; what Go said is above"
}

_take_compose_schema() {
  say "Fetching the schema of Compose files (about 3 s)"
  local module=github.com/compose-spec/compose-go/v2
  run_quietly go mod download "$module" &&
    cp "$(go list -m -f '{{.Dir}}' "$module")/schema/compose-spec.json" "$1/made"
}

_build_compose() {
  say "Building Docker Compose (about 2 min)"
  local module=github.com/docker/compose/v2
  _build_go "$1" "$module" "$module/internal.Version" "$module/cmd"
}

_build_collector() {
  say "Building the OpenTelemetry Collector (about 2 min)"
  _build_go "$1" go.opentelemetry.io/collector/otelcol main.version .
}

# _build_go TARGET MODULE VARIABLE PACKAGE: the program says the module's version where it says its own.
_build_go() {
  local version
  version=$(go list -m -f '{{.Version}}' "$2") &&
    run_quietly go build -trimpath -ldflags "-s -w -X $3=$version" -o "$1/made" "$4"
}

# --- Elasticsearch ------------------------------------------------------------------------------

# One archive of Maven's central repository, unmodified, and its SHA-256.
ELASTICSEARCH_VERSION=8.19.21
ELASTICSEARCH_SHA256=215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a

# ensure_elasticsearch: the server of the tests of the export; sets EMAIL_SENDER_ELASTICSEARCH to its
# folder. Starts nothing. Needs a Java of version 17 or newer, and Maven the first time.
ensure_elasticsearch() {
  EMAIL_SENDER_ELASTICSEARCH=$CACHE/elasticsearch-$ELASTICSEARCH_VERSION-${ELASTICSEARCH_SHA256:0:12}
  export EMAIL_SENDER_ELASTICSEARCH
  if ! command -v java >/dev/null 2>&1 && [ ! -x "${JAVA_HOME:-}/bin/java" ]; then
    if ! _can_apt; then
      complain "Java is missing: install version 17 or newer (Debian: sudo apt-get install default-jre-headless)"
      return
    fi
    with_lock apt apt_install 60 default-jre-headless || return
  fi
  _has_elasticsearch || with_lock elasticsearch _install_elasticsearch
}

_has_elasticsearch() { [ -f "$EMAIL_SENDER_ELASTICSEARCH/.complete" ]; }

_install_elasticsearch() {
  _has_elasticsearch && return
  local name=elasticsearch-$ELASTICSEARCH_VERSION folder python
  python=$(find_python) || return
  _ensure_maven || return
  say "Fetching Elasticsearch $ELASTICSEARCH_VERSION (107 MB)"
  folder=$(mktemp -d "$CACHE/elasticsearch.XXXXXX") || return
  run_quietly mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    "-Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$ELASTICSEARCH_VERSION:zip" \
    "-DoutputDirectory=$folder" || complain "Maven cannot fetch Elasticsearch; what it said is above" || return
  if [ "$(hash_of "$folder/$name.zip")" != "$ELASTICSEARCH_SHA256" ]; then
    rm -rf "$folder"
    complain "$name.zip is not the archive that is pinned in scripts/lib/common.sh"
    return
  fi
  # Python's own unpacking leaves programs without their mode.
  "$python" -c 'import sys, zipfile
from pathlib import Path
with zipfile.ZipFile(sys.argv[1]) as archive:
    for entry in archive.infolist():
        made = Path(archive.extract(entry, sys.argv[2]))
        if not entry.is_dir() and entry.external_attr >> 16:
            made.chmod(entry.external_attr >> 16 & 0o777)' "$folder/$name.zip" "$folder" ||
    complain "$name.zip cannot be unpacked" || return
  rm -rf "$EMAIL_SENDER_ELASTICSEARCH"
  mv "$folder/$name" "$EMAIL_SENDER_ELASTICSEARCH" || return
  rm -rf "$folder"
  touch "$EMAIL_SENDER_ELASTICSEARCH/.complete"
}

_ensure_maven() {
  command -v mvn >/dev/null 2>&1 && return
  if ! _can_apt; then
    complain "Maven is missing, which fetches Elasticsearch: install it (Debian: sudo apt-get install maven)"
    return
  fi
  with_lock apt apt_install 60 maven
}

# ensure_elasticsearch_9: the server of a drill; sets EMAIL_SENDER_ELASTICSEARCH_9 to its folder, and
# JAVA_HOME to the JDK that runs it. No archive of 9.x is published, but its jars are: those that
# tests/support/elasticsearch_9/jars.sha256 names, and of 8.19 what has no version of its own.
ensure_elasticsearch_9() {
  local source=$ROOT/tests/support/elasticsearch_9 key jdk
  if ! jdk=$(_find_jdk_21); then
    complain "a JDK of version 21 or newer is missing, which Elasticsearch 9 needs: install one (Debian 13: sudo" \
      "apt-get install openjdk-21-jdk-headless), or set EMAIL_SENDER_JDK or JAVA_HOME to its folder"
    return
  fi
  export JAVA_HOME=$jdk
  ensure_elasticsearch || return
  key=$(hash_of "$source"/*) || return
  export EMAIL_SENDER_ELASTICSEARCH_9=$CACHE/elasticsearch-9-${key:0:12}
  _has_elasticsearch_9 || with_lock elasticsearch-9 _make_elasticsearch_9 "$source"
}

_has_elasticsearch_9() { [ -x "$EMAIL_SENDER_ELASTICSEARCH_9/bin/elasticsearch" ]; }

# _find_jdk_21: prints the first JDK that is new enough: a Java without its compiler has not all modules.
_find_jdk_21() {
  local home found
  for home in "${EMAIL_SENDER_JDK:-/none}" "${JAVA_HOME:-/none}" /usr/lib/jvm/*; do
    found=$("$home/bin/javac" -version 2>/dev/null) || continue
    found=${found#javac }
    # One of version 8 says nothing here.
    [ "${found%%[!0-9]*}" -ge 21 ] 2>/dev/null && echo "$home" && return
  done
  return 1
}

_make_elasticsearch_9() {
  local folder version status=0
  _has_elasticsearch_9 && return
  _ensure_maven || return
  version=$(sed -n 's|.*<elasticsearch>\(.*\)</elasticsearch>.*|\1|p' "$1/pom.xml") || return
  folder=$(mktemp -d "$CACHE/elasticsearch-9.XXXXXX") || return
  say "Putting Elasticsearch $version together (45 MB, about 1 min)"
  { run_quietly mvn -B -q -f "$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$folder/jars" ||
    complain "Maven cannot fetch Elasticsearch $version; what it said is above"; } &&
    { run_quietly _lay_out_elasticsearch_9 "$1" "$folder/jars" "$folder/made" "$version" ||
      complain "Elasticsearch $version cannot be put together; what is wrong is above"; } &&
    mv "$folder/made" "$EMAIL_SENDER_ELASTICSEARCH_9" || status=1
  rm -rf "$folder"
  return "$status"
}

# _lay_out_elasticsearch_9 SOURCE JARS TARGET VERSION
_lay_out_elasticsearch_9() {
  local old=$EMAIL_SENDER_ELASTICSEARCH net=modules/transport-netty4 path check='shasum -a 256'
  if command -v sha256sum >/dev/null 2>&1; then check=sha256sum; fi
  mkdir -p "$3/bin" "$3/config" "$3/launcher" "$3/lib/tools" "$3/logs" "$3/plugins" "$3/$net" || return
  while read -r _ path; do
    cp "$2/${path##*/}" "$3/$path" || return
  done <"$1/jars.sha256"
  (cd "$3" && $check -c "$1/jars.sha256") &&
    cp -R "$old/lib/entitlement-agent" "$old/lib/entitlement-bridge" "$old/lib/platform" "$3/lib" &&
    cp -R "$old/lib/tools/ansi-console" "$3/lib/tools" &&
    cp "$old/config/log4j2.properties" "$3/config" &&
    cp "$old/$net/entitlement-policy.yaml" "$3/$net" &&
    sed "s/=$ELASTICSEARCH_VERSION\$/=$4/" "$old/$net/plugin-descriptor.properties" >"$3/$net/plugin-descriptor.properties" &&
    "$JAVA_HOME/bin/javac" --release 21 -cp "$3/lib/*" -d "$3/launcher" "$1/Start.java" &&
    cp "$1/elasticsearch.sh" "$3/bin/elasticsearch" && chmod 755 "$3/bin/elasticsearch"
}

# --- Node ---------------------------------------------------------------------------------------

# npm_install SOURCE TARGET: TARGET/node_modules is what SOURCE/package-lock.json says for this
# platform, whatever a registry has gained or lost since (scripts/npm_lock.py says how).
# --ignore-scripts: an install script is code nobody here has read.
npm_install() {
  local source=$1 target=$2 python
  python=$(find_python) || return
  rm -rf "$target"
  mkdir -p "$target"
  "$python" "$ROOT/scripts/npm_lock.py" settle "$source/package-lock.json" "$target" || return
  if ! (cd "$target" && run_quietly npm ci --ignore-scripts --no-audit --no-fund --include=optional); then
    complain "npm could not install ${source#"$ROOT"/}/package-lock.json; what it said is above"
    return
  fi
  npm_compare "$source" "$target" ||
    complain "npm left $target other than ${source#"$ROOT"/}/package-lock.json: $NPM_DIFFERENCE"
}

# npm_compare SOURCE TARGET: whether TARGET/node_modules is what SOURCE/package-lock.json says for
# this platform; if not, NPM_DIFFERENCE says what is wanted and what was found.
npm_compare() {
  local python
  python=$(find_python) || return
  NPM_DIFFERENCE=$("$python" "$ROOT/scripts/npm_lock.py" check "$1/package-lock.json" "$2" 2>&1) &&
    return
  NPM_DIFFERENCE=${NPM_DIFFERENCE//$'\n'/; }
  return 1
}

# ensure_node_tools: Node and npm, and the development packages of n8n-nodes/ as locked.
ensure_node_tools() {
  local key stamp=$ROOT/n8n-nodes/node_modules/.stamp
  if ! command -v npm >/dev/null 2>&1 ||
    ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
    complain "Node 20 or newer with npm is needed for n8n-nodes/; install it from your system's packages"
    return
  fi
  key=$(hash_of "$ROOT/n8n-nodes/package.json" "$ROOT/n8n-nodes/package-lock.json") || return
  [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return
  with_lock node _install_node_tools "$key" "$stamp"
}

_install_node_tools() {
  [ "$(cat "$2" 2>/dev/null)" = "$1" ] && return
  local kept=$CACHE/n8n-nodes-${1:0:12}
  # Not by a mark alone: whoever tidies caches by age removes a part of one.
  if npm_compare "$ROOT/n8n-nodes" "$kept"; then
    say "Taking the packages of n8n-nodes/package-lock.json from the cache"
  else
    say "Installing the packages of n8n-nodes/package-lock.json (about 90 s the first time)"
    npm_install "$ROOT/n8n-nodes" "$kept" || return
  fi
  rm -rf "$ROOT/n8n-nodes/node_modules"
  _copy_tree "$kept/node_modules" "$ROOT/n8n-nodes/node_modules" || return
  printf '%s\n' "$1" >"$2"
}

# _copy_tree FROM TO: by hard links where the file system has them, thirty thousand files in seconds.
_copy_tree() {
  cp -al "$1" "$2" 2>/dev/null && return
  rm -rf "$2"
  cp -R "$1" "$2"
}

# ensure_axe: the accessibility checker of the browser tests, as locked; sets EMAIL_SENDER_AXE.
ensure_axe() {
  local source=$ROOT/tests/dashboard/axe key
  key=$(hash_of "$source/package.json" "$source/package-lock.json") || return
  EMAIL_SENDER_AXE=$CACHE/axe-${key:0:12}
  export EMAIL_SENDER_AXE
  npm_compare "$source" "$EMAIL_SENDER_AXE" ||
    with_lock axe _install_from_npm "the accessibility checker" "$source" "$EMAIL_SENDER_AXE"
}

# ensure_oidc_provider: the OpenID provider of one test, as locked; sets EMAIL_SENDER_OIDC_PROVIDER.
ensure_oidc_provider() {
  local source=$ROOT/tests/support/oidc_provider key
  key=$(hash_of "$source/package.json" "$source/package-lock.json") || return
  EMAIL_SENDER_OIDC_PROVIDER=$CACHE/oidc-provider-${key:0:12}
  export EMAIL_SENDER_OIDC_PROVIDER
  npm_compare "$source" "$EMAIL_SENDER_OIDC_PROVIDER" ||
    with_lock oidc-provider _install_from_npm "the OpenID provider" "$source" "$EMAIL_SENDER_OIDC_PROVIDER"
}

# _install_from_npm NAME SOURCE TARGET
_install_from_npm() {
  npm_compare "$2" "$3" && return
  say "Installing $1"
  npm_install "$2" "$3"
}
