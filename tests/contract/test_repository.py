"""What the repository promises about itself: layout, entry points, locks, records, links."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from scripts.lint.rules import tracked_files

ROOT = Path(__file__).resolve().parents[2]
FILES = tracked_files(ROOT)

# Another one needs a decision record that says why.
TOP_LEVEL = {
    *("backend", "dashboard", "n8n-nodes", "scripts", "deploy", "tests", "docs", ".ci"),
    *("pyproject.toml", "docker-compose.yml", "Makefile", "LICENSE"),
    *("requirements.lock", "requirements-cluster.lock", "requirements-dev.lock"),
    *("requirements-uv.lock",),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *(".gitignore", ".gitattributes", ".editorconfig", ".dockerignore", ".github"),
    *(".pre-commit-config.yaml", ".secrets.baseline"),
}


def read(path: str) -> str:
    return (ROOT / path).read_text()


def first_line(path: str) -> str:
    return read(path).partition("\n")[0]


def is_entry_point(path: str) -> bool:
    return path == ".ci/run" or (path.startswith("scripts/") and first_line(path).startswith("#!"))


ENTRY_POINTS = [path for path in FILES if is_entry_point(path)]
SHELL = [
    path
    for path in FILES
    if path.endswith(".sh") or (path in ENTRY_POINTS and first_line(path).endswith("bash"))
]


class TestLayout:
    def test_top_level_names_are_known(self) -> None:
        assert {path.partition("/")[0] for path in FILES} - TOP_LEVEL == set()

    def test_nothing_that_is_tracked_leads_elsewhere(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "--stage", "-z"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        entries = [one.split(None, 3) for one in listed.stdout.split("\0") if one]
        # 120000 is a link: on another machine it leads to nothing, or to something else.
        assert [path for mode, _, _, path in entries if mode == "120000"] == []

    def test_every_manager_has_its_mandatory_files_and_no_layer_that_forwards(self) -> None:
        inside: dict[str, set[str]] = {}
        for path in FILES:
            if found := re.fullmatch(r"backend/managers/(\w+)/(.+)", path):
                inside.setdefault(found[1], set()).add(found[2])
        assert inside, "no managers found"
        for name, files in inside.items():
            missing = {"__init__.py", "manager.py"} - files
            forwarding = {"service.py", "repository.py", "interfaces.py", "utils.py"} & files
            assert not missing, f"{name} lacks {missing}"
            assert not forwarding, f"{name} has {forwarding}"


class TestEntryPoints:
    def test_are_found(self) -> None:
        assert {".ci/run", "scripts/test", "scripts/setup", "scripts/lock"} <= set(ENTRY_POINTS)

    @pytest.mark.parametrize("path", ENTRY_POINTS)
    def test_are_executable(self, path: str) -> None:
        assert (ROOT / path).stat().st_mode & 0o111

    @pytest.mark.parametrize("path", SHELL)
    def test_parse_as_bash(self, path: str) -> None:
        done = subprocess.run(
            ["bash", "-n", path], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("path", [path for path in SHELL if path in ENTRY_POINTS])
    def test_stop_at_the_first_error(self, path: str) -> None:
        assert "\nset -euo pipefail\n" in read(path)

    def test_makefile_explains_every_target(self) -> None:
        makefile = read("Makefile")
        declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
        assert declared is not None
        explained = re.findall(r"^([a-z]+):.*## \S", makefile, re.MULTILINE)
        assert explained == declared[1].split()


def pins(path: str) -> dict[str, list[tuple[Version, str]]]:
    """Every ``name==version ; marker`` of a lock file: a name may be pinned once a marker."""
    found: dict[str, list[tuple[Version, str]]] = {}
    pattern = r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; (.+?))? \\$"
    for name, version, marker in re.findall(pattern, read(path), re.MULTILINE):
        found.setdefault(name, []).append((Version(version), marker))
    return found


def requirements(*extras: str) -> list[Requirement]:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    optional = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [Requirement(line) for line in lines]


class TestLockFiles:
    @pytest.mark.parametrize(
        ("narrow", "wide"),
        [
            ("requirements.lock", "requirements-cluster.lock"),
            ("requirements-cluster.lock", "requirements-dev.lock"),
        ],
    )
    def test_a_wider_lock_agrees_with_the_narrower_one(self, narrow: str, wide: str) -> None:
        # An environment made for development must serve wherever the runtime lock is asked for.
        less, more = pins(narrow), pins(wide)
        assert len(less) > 20
        for name, versions in less.items():
            assert {v for v, _ in more.get(name, [])} >= {v for v, _ in versions}, name

    @pytest.mark.parametrize(
        ("lock", "extras"),
        [
            ("requirements.lock", ()),
            ("requirements-cluster.lock", ("cluster",)),
            ("requirements-dev.lock", ("cluster", "dev")),
        ],
    )
    def test_locks_satisfy_what_the_project_asks_for(
        self, lock: str, extras: tuple[str, ...]
    ) -> None:
        locked = pins(lock)
        for requirement in requirements(*extras):
            versions = [version for version, _ in locked.get(requirement.name.lower(), [])]
            assert versions, f"{requirement.name} is not in {lock}: run scripts/lock"
            assert all(version in requirement.specifier for version in versions), requirement

    @pytest.mark.parametrize("lock", [path for path in FILES if path.endswith(".lock")])
    def test_every_pin_has_a_hash(self, lock: str) -> None:
        entries = re.split(r"^(?=[a-z0-9])", read(lock), flags=re.MULTILINE)[1:]
        assert entries
        assert [e.partition(" ")[0] for e in entries if "--hash=sha256:" not in e] == []

    def test_the_installer_is_the_one_that_the_lock_script_names(self) -> None:
        version = re.search(r"^UV_VERSION=(\S+)$", read("scripts/lock"), re.MULTILINE)
        assert version is not None
        assert pins("requirements-uv.lock") == {"uv": [(Version(version[1]), "")]}


RECORDS = [path for path in FILES if path.startswith("docs/decisions/")]


class TestDecisionRecords:
    def test_are_numbered_without_a_gap(self) -> None:
        numbers = [int(Path(path).name[:4]) for path in RECORDS]
        assert numbers == list(range(1, len(RECORDS) + 1))

    @pytest.mark.parametrize("path", RECORDS)
    def test_are_one_page_with_the_four_headings(self, path: str) -> None:
        text = read(path)
        assert re.match(rf"# {Path(path).name[:4]}: \S", text)
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"]
        assert len(text.splitlines()) <= 70


class TestDocuments:
    def test_the_changelog_opens_with_what_is_unreleased(self) -> None:
        sections = re.findall(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), re.MULTILINE)
        assert sections[0] == "Unreleased"

    @pytest.mark.parametrize("path", [path for path in FILES if path.endswith(".md")])
    def test_links_inside_the_repository_lead_somewhere(self, path: str) -> None:
        text = re.sub(r"```.*?```", "", read(path), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            assert (ROOT / path).parent.joinpath(target.partition("#")[0]).exists(), target
