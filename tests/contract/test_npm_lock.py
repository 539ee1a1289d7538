"""What npm installed is held to the lock, by package and not by file; nothing is downloaded."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.npm_lock import LockError, Platform, compare, read_entries, settle

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "scripts/npm_lock.py"
LINUX = Platform("linux", "x64", "glibc")
MAC = Platform("darwin", "arm64")
DRIVER = "node_modules/driver-linux"
FOREIGN = "node_modules/driver-darwin"
NESTED = "node_modules/host/node_modules/base"


def package(version: str, **more: Any) -> dict[str, Any]:
    return {"version": version, "integrity": f"sha512-{version}", **more}


def make_entries() -> dict[str, dict[str, Any]]:
    """Each question that npm would put to a registry is open in this lock."""
    return {
        "": {"name": "project", "dependencies": {"host": "^1.0.0"}, "devDependencies": {"t": "*"}},
        "node_modules/host": package(
            "1.0.0",
            dependencies={"base": "^2.0.0", "alias": "npm:real@^5"},
            optionalDependencies={"driver-linux": "^3", "driver-darwin": "^3", "driver-aix": "^3"},
            peerDependencies={"peer": "^9", "absent": "*"},
            peerDependenciesMeta={"absent": {"optional": True}},
        ),
        "node_modules/alias": package("5.0.0", name="real"),
        "node_modules/base": package("1.0.0"),
        NESTED: package("2.0.0"),
        "node_modules/peer": package("4.0.0", peer=True, dependencies={"base": "1"}),
        "node_modules/t": package("1.5.0", dev=True),
        DRIVER: package("3.0.0", optional=True, os=["linux"], cpu=["x64"], libc=["glibc"]),
        FOREIGN: package(
            "3.0.0", optional=True, os=["darwin"], dependencies={"only-there": "^1", "gone": "^1"}
        ),
        "node_modules/only-there": package("1.0.0", optional=True),
    }


def install(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    """As npm leaves a tree when it has finished."""
    for path, entry in entries.items():
        (folder / path).mkdir(parents=True, exist_ok=True)
        (folder / path / "package.json").write_text(json.dumps({"version": entry["version"]}))
    hidden = {"lockfileVersion": 3, "packages": entries}
    (folder / "node_modules/.package-lock.json").write_text(json.dumps(hidden))


def installed_here() -> dict[str, dict[str, Any]]:
    entries = make_entries()
    for path in ("", FOREIGN, "node_modules/only-there"):
        del entries[path]
    return entries


def differences(folder: Path, entries: dict[str, dict[str, Any]] | None = None) -> list[str]:
    return list(compare(entries or make_entries(), folder, LINUX))


class TestAdmits:
    @pytest.mark.parametrize(
        ("entry", "admitted"),
        [
            ({}, True),
            ({"os": ["any"]}, True),
            ({"os": "linux", "cpu": "x64"}, True),
            ({"os": ["darwin", "linux"]}, True),
            ({"os": ["darwin"]}, False),
            ({"os": ["linux"], "cpu": ["arm64"]}, False),
            ({"os": ["linux"], "cpu": ["x64"], "libc": ["musl"]}, False),
            ({"os": ["!win32"]}, True),
            ({"os": ["!linux"]}, False),
        ],
    )
    def test_reads_platforms_as_npm_does(self, entry: dict[str, Any], admitted: bool) -> None:
        assert LINUX.admits(entry) is admitted

    def test_a_package_for_a_libc_is_not_for_a_system_without_a_choice_of_one(self) -> None:
        assert not Platform.parse("darwin-arm64").admits({"libc": ["glibc"]})


class TestSettle:
    def test_keeps_what_is_installed_here_and_nothing_else(self) -> None:
        assert set(settle(make_entries(), LINUX)) == {"", *installed_here()}

    def test_keeps_another_platforms_packages_there(self) -> None:
        entries = make_entries()
        entries["node_modules/gone"] = package("1.0.0", optional=True)
        settled = settle(entries, MAC)
        assert {FOREIGN, "node_modules/only-there", "node_modules/gone"} <= set(settled)
        assert DRIVER not in settled

    def test_leaves_no_range_and_no_peer_to_resolve(self) -> None:
        settled = settle(make_entries(), LINUX)
        assert settled["node_modules/host"]["dependencies"] == {
            "alias": "npm:real@5.0.0",
            "base": "2.0.0",
            "peer": "4.0.0",
        }
        assert settled["node_modules/host"]["optionalDependencies"] == {"driver-linux": "3.0.0"}
        assert not any("peerDependencies" in entry for entry in settled.values())

    def test_asks_for_development_tools_whatever_the_environment_leaves_out(self) -> None:
        settled = settle(make_entries(), LINUX)
        assert settled[""]["dependencies"] == {"host": "1.0.0", "t": "1.5.0"}
        assert "dev" not in settled["node_modules/t"]

    def test_leaves_out_an_optional_package_that_needs_one_of_another_platform(self) -> None:
        entries = make_entries()
        entries[DRIVER]["dependencies"] = {"driver-darwin": "*"}
        assert DRIVER not in settle(entries, LINUX)

    def test_refuses_a_lock_that_lacks_what_must_be(self) -> None:
        entries = make_entries()
        del entries["node_modules/base"], entries[NESTED]
        with pytest.raises(LockError, match=r"^base, which (host|peer) needs, is not in the lock$"):
            settle(entries, LINUX)

    def test_refuses_a_lock_whose_needed_package_is_for_another_platform(self) -> None:
        entries = make_entries()
        entries[NESTED]["os"] = ["darwin"]
        with pytest.raises(LockError, match="base is not for linux x64 glibc"):
            settle(entries, LINUX)

    @pytest.mark.parametrize(
        "path", ["scripts/n8n/app", "scripts/n8n/node24", "n8n-nodes", "tests/dashboard/axe"]
    )
    @pytest.mark.parametrize("platform", ["linux-x64-glibc", "linux-arm64-glibc"])
    def test_every_lock_of_the_repository_installs_from_itself_alone(
        self, path: str, platform: str
    ) -> None:
        settled = settle(read_entries(ROOT / path / "package-lock.json"), Platform.parse(platform))
        assert len(settled) > 1
        # What one machine installs must be pinned by content, not only by version.
        assert [at for at, entry in settled.items() if at and "integrity" not in entry] == []


class TestCompare:
    def test_finds_nothing_when_all_is_as_locked(self, tmp_path: Path) -> None:
        install(tmp_path, installed_here())
        assert differences(tmp_path) == []

    def test_ignores_a_foreign_package_that_only_the_lock_has(self, tmp_path: Path) -> None:
        install(tmp_path, installed_here())
        entries = make_entries()
        entries["node_modules/driver-aix"] = package("3.0.0", optional=True, os=["aix"])
        entries["node_modules/nobody-asks"] = package("1.0.0", optional=True, os=["aix"])
        assert differences(tmp_path, entries) == []

    def test_ignores_a_foreign_package_that_only_the_tree_has(self, tmp_path: Path) -> None:
        install(tmp_path, {**installed_here(), "node_modules/x": package("1.0.0", os=["aix"])})
        assert differences(tmp_path) == []

    def test_names_a_drifted_version(self, tmp_path: Path) -> None:
        install(tmp_path, {**installed_here(), NESTED: package("2.0.1")})
        assert differences(tmp_path) == ["host/node_modules/base: wanted 2.0.0, found 2.0.1"]

    def test_names_the_same_version_with_another_content(self, tmp_path: Path) -> None:
        install(tmp_path, {**installed_here(), NESTED: package("2.0.0", integrity="sha512-other")})
        assert differences(tmp_path) == [
            "host/node_modules/base 2.0.0: wanted sha512-2.0.0, found sha512-other"
        ]

    @pytest.mark.parametrize("path", [NESTED, DRIVER], ids=["needed", "optional but for here"])
    def test_names_a_missing_package(self, tmp_path: Path, path: str) -> None:
        tree = installed_here()
        version = tree.pop(path)["version"]
        install(tmp_path, tree)
        name = path.removeprefix("node_modules/")
        assert differences(tmp_path) == [f"{name}: wanted {version}, found none"]

    def test_names_a_package_that_the_lock_does_not_have(self, tmp_path: Path) -> None:
        install(tmp_path, {**installed_here(), "node_modules/more": package("7.0.0")})
        assert differences(tmp_path) == ["more: wanted none, found 7.0.0"]

    def test_names_a_package_whose_folder_was_removed_later(self, tmp_path: Path) -> None:
        install(tmp_path, installed_here())
        (tmp_path / NESTED / "package.json").unlink()
        assert differences(tmp_path) == [
            "host/node_modules/base 2.0.0: its folder has been removed"
        ]

    @pytest.mark.parametrize("hidden", [None, '{"packages": {"node_modu'], ids=["none", "torn"])
    def test_tells_an_interrupted_installation(self, tmp_path: Path, hidden: str | None) -> None:
        install(tmp_path, installed_here())
        mark = tmp_path / "node_modules/.package-lock.json"
        mark.unlink()
        if hidden is not None:
            mark.write_text(hidden)
        assert differences(tmp_path) == [
            f"{tmp_path}/node_modules is not complete: npm did not finish there"
        ]


class TestCommandLine:
    def run(self, command: str, lock: Path, folder: Path) -> subprocess.CompletedProcess[str]:
        # Not by the environment's interpreter alone: it is run before there is one.
        program = [sys.executable, "-I", "-S", str(PROGRAM)]
        return subprocess.run(
            [*program, command, str(lock), str(folder), "--platform", "linux-x64-glibc"],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_is_silent_when_all_is_as_locked_and_says_what_is_not(self, tmp_path: Path) -> None:
        lock = tmp_path / "package-lock.json"
        lock.write_text(json.dumps({"packages": make_entries()}))
        install(tmp_path, installed_here())
        done = self.run("check", lock, tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        install(tmp_path, {**installed_here(), NESTED: package("2.0.1")})
        done = self.run("check", lock, tmp_path)
        wanted = "host/node_modules/base: wanted 2.0.0, found 2.0.1\n"
        assert (done.returncode, done.stderr) == (1, wanted)

    def test_shows_the_first_of_many_differences_and_counts_the_rest(self, tmp_path: Path) -> None:
        lock = tmp_path / "package-lock.json"
        lock.write_text(json.dumps({"packages": make_entries()}))
        install(tmp_path, {path: package("0.0.1") for path in installed_here()})
        lines = self.run("check", lock, tmp_path).stderr.splitlines()
        assert len(lines) == 6
        assert lines[-1] == f"and {len(installed_here()) - 5} more"

    def test_says_that_a_lock_cannot_be_used(self, tmp_path: Path) -> None:
        lock = tmp_path / "package-lock.json"
        lock.write_text('{"lockfileVersion": 1, "dependencies": {}}')
        done = self.run("settle", lock, tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {lock} cannot be read as a lock file")
