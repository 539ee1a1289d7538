"""What `scripts/lib/common.sh` installs stays the same while package registries gain and lose.

npm is real, and so is the registry that it talks to: a small one on the loopback, which the tests
change between two installations. apt-get needs root and changes the machine: it is replaced.
"""

import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from scripts.npm_lock import Platform

ROOT = Path(__file__).resolve().parents[2]

needs_npm = pytest.mark.skipif(
    shutil.which("npm") is None,
    reason="npm is missing; install Node 20 or newer with npm from your system's packages",
)


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has sourced the installers, its cache in a folder of its own."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". {ROOT}/scripts/lib/common.sh\n{script}"],
        cwd=folder,
        env={**os.environ, "EMAIL_SENDER_CACHE": str(folder / "cache"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class Registry:
    """Packages by name and version, served as npm asks for them."""

    def __init__(self) -> None:
        self.packages: dict[str, dict[str, dict[str, Any]]] = {}
        self.archives: dict[str, bytes] = {}
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self, name: str, version: str, **manifest: Any) -> dict[str, Any]:
        """Make or replace a version; returns its entry for a lock."""
        manifest = {"name": name, "version": version, **manifest}
        content = json.dumps(manifest).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            member = tarfile.TarInfo("package/package.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        path = f"/{name}/-/{name}-{version}.tgz"
        self.archives[path] = packed.getvalue()
        digest = base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()
        dist = {"tarball": self.url + path, "integrity": f"sha512-{digest}"}
        self.packages.setdefault(name, {})[version] = {**manifest, "dist": dist}
        return {k: v for k, v in manifest.items() if k != "name"} | {"integrity": dist["integrity"]}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path)
        versions = self.packages.get(path.removeprefix("/"))
        if versions:
            document = {"name": path[1:], "versions": versions}
            body = json.dumps({**document, "dist-tags": {"latest": max(versions)}}).encode()
        else:
            body = self.archives.get(path, b"")
        request.send_response(200 if body else 404)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    with contextlib.closing(made.server.socket):
        yield made
        made.server.shutdown()


@pytest.fixture
def source(tmp_path: Path, registry: Registry) -> Path:
    """A project whose lock was made when the registry had less: a driver for AIX was missing."""
    here = Platform.of_node()
    fits = {"os": [here.os], "cpu": [here.cpu]}
    host = registry.publish(
        "host",
        "1.0.0",
        dependencies={"base": "^1.0.0"},
        optionalDependencies={
            "driver-here": "1.0.0",
            "driver-sunos": "1.0.0",
            "driver-aix": "1.0.0",
        },
        peerDependencies={"peer": ">=2"},
    )
    entries = {
        "": {"name": "project", "dependencies": {"host": "1.0.0", "peer": "1.0.0"}},
        "node_modules/host": host,
        "node_modules/base": registry.publish("base", "1.0.0"),
        "node_modules/peer": registry.publish("peer", "1.0.0", dependencies={"base": "1"}),
        "node_modules/driver-here": {
            **registry.publish("driver-here", "1.0.0", **fits),
            "optional": True,
        },
        "node_modules/driver-sunos": {
            **registry.publish("driver-sunos", "1.0.0", os=["sunos"]),
            "optional": True,
        },
    }
    folder = tmp_path / "source"
    folder.mkdir()
    lock = {"lockfileVersion": 3, "requires": True, "packages": entries}
    (folder / "package-lock.json").write_text(json.dumps(lock))
    return folder


def npm_install(
    source: Path, registry: Registry, script: str = "npm_install source target"
) -> subprocess.CompletedProcess[str]:
    folder = source.parent
    return bash(
        script,
        folder,
        npm_config_registry=registry.url,
        # Whatever was fetched before would hide what the registry has lost.
        npm_config_cache=str(folder / "npm" / os.urandom(4).hex()),
        npm_config_fetch_retries="0",
    )


def installed(source: Path) -> dict[str, str]:
    hidden = source.parent / "target/node_modules/.package-lock.json"
    packages = json.loads(hidden.read_text())["packages"]
    return {path.removeprefix("node_modules/"): e["version"] for path, e in packages.items()}


AS_LOCKED = {"base": "1.0.0", "driver-here": "1.0.0", "host": "1.0.0", "peer": "1.0.0"}


@needs_npm
@pytest.mark.slow
@pytest.mark.timeout(1200)
class TestNpmInstall:
    def test_takes_nothing_that_the_registry_has_gained(
        self, source: Path, registry: Registry
    ) -> None:
        registry.publish("base", "1.0.1")
        registry.publish("peer", "2.0.0", dependencies={"base": "^1.0.1"})
        registry.publish("driver-aix", "1.0.0", os=["aix"], dependencies={"base": "^1.0.1"})
        done = npm_install(source, registry)
        assert (done.returncode, installed(source)) == (0, AS_LOCKED), done.stderr

    def test_does_without_what_the_registry_has_lost_for_other_platforms(
        self, source: Path, registry: Registry
    ) -> None:
        del registry.packages["driver-sunos"]
        done = npm_install(source, registry)
        assert (done.returncode, installed(source)) == (0, AS_LOCKED), done.stderr

    @pytest.mark.parametrize(
        "settings", [{"NODE_ENV": "production"}, {"npm_config_omit": "optional"}]
    )
    def test_leaves_nothing_out_for_the_settings_of_whoever_runs_it(
        self, source: Path, registry: Registry, monkeypatch, settings: dict[str, str]
    ) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        lock = json.loads((source / "package-lock.json").read_text())
        project = lock["packages"][""]
        project["devDependencies"] = {"host": project["dependencies"].pop("host")}
        (source / "package-lock.json").write_text(json.dumps(lock))
        done = npm_install(source, registry)
        assert (done.returncode, installed(source)) == (0, AS_LOCKED), done.stderr

    def test_names_the_optional_package_that_npm_silently_does_without(
        self, source: Path, registry: Registry
    ) -> None:
        del registry.packages["driver-here"]
        done = npm_install(source, registry)
        assert done.returncode == 1
        assert "driver-here: wanted 1.0.0, found none" in done.stderr.splitlines()[-1]

    def test_fails_when_a_needed_version_is_lost_and_shows_what_npm_says(
        self, source: Path, registry: Registry
    ) -> None:
        registry.publish("base", "1.0.1")
        del registry.packages["base"]["1.0.0"]
        done = npm_install(source, registry)
        assert done.returncode == 1
        assert "base@1.0.0" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: npm could not install ")

    def test_fails_when_a_version_has_another_content(
        self, source: Path, registry: Registry
    ) -> None:
        registry.publish("base", "1.0.0", description="replaced")
        done = npm_install(source, registry)
        assert done.returncode == 1
        assert "EINTEGRITY" in done.stderr

    def test_heals_a_cache_that_was_interrupted_or_tidied(
        self, source: Path, registry: Registry
    ) -> None:
        # What ensure_axe and its like do, which have their locks from the repository.
        install = "_install_from_npm axe source target"
        assert npm_install(source, registry, install).returncode == 0
        tree = source.parent / "target/node_modules"
        for damage in (lambda: shutil.rmtree(tree / "base"), (tree / ".package-lock.json").unlink):
            damage()
            done = npm_install(source, registry, install)
            assert (done.returncode, installed(source)) == (0, AS_LOCKED), done.stderr
        # Nothing is fetched for what is as locked.
        registry.packages.clear()
        assert npm_install(source, registry, install).returncode == 0

    def test_two_at_once_install_one_after_the_other(
        self, source: Path, registry: Registry
    ) -> None:
        install = "with_lock axe _install_from_npm axe source target"
        both = f"({install}) & ({install}); wait $!"
        done = npm_install(source, registry, both)
        assert (done.returncode, installed(source)) == (0, AS_LOCKED), done.stderr
        assert done.stderr.count("Installing") == 1


APT = """
_can_apt() { true; }
dpkg() { true; }
apt-cache() { [ "$2" != fonts-renamed ]; }
apt-get() {
  echo "$*" >>calls
  case $1 in update) return "${UPDATE:-0}" ;; *) return "${INSTALL:-0}" ;; esac
}
"""


class TestAptInstall:
    def calls(self, folder: Path) -> list[str]:
        return (folder / "calls").read_text().splitlines()

    def test_goes_on_with_the_lists_that_are_there(self, tmp_path: Path) -> None:
        done = bash(APT + "apt_install 10 wrk", tmp_path, UPDATE="100")
        assert done.returncode == 0
        assert done.stderr == "==> Installing wrk (about 10 s)\n"
        assert self.calls(tmp_path)[-1].endswith(" wrk")

    def test_leaves_out_what_may_be_missing_where_no_source_has_it(self, tmp_path: Path) -> None:
        script = APT + "apt_install 10 chromium '?fonts-renamed' '?fonts-kept'"
        assert bash(script, tmp_path).returncode == 0
        assert self.calls(tmp_path)[-1].endswith(" chromium fonts-kept")

    def test_says_what_apt_said_and_what_was_wanted(self, tmp_path: Path) -> None:
        script = APT.replace("echo", "echo said; echo", 1) + "apt_install 10 a '?b'"
        done = bash(script, tmp_path, INSTALL="100")
        assert done.returncode == 1
        assert "said" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: apt-get cannot install a b;")

    def test_tells_when_what_was_installed_is_not_what_was_wanted(self, tmp_path: Path) -> None:
        script = APT + "_find_wrk() { return 1; }\nensure_wrk"
        done = bash(script, tmp_path)
        assert done.returncode == 1
        assert (
            done.stderr.splitlines()[-1] == "error: wrk is installed, but no command of that name"
        )
