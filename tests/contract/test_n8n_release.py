"""What stands between the node's sources and a release of it: addresses, a version, a workflow."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOMEPAGE, REPOSITORY, EMAIL = (
    "https://docs.acme.test/node",
    "https://git.acme.test/email-sender.git",
    "node@acme.test",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that a release reads, as a repository of their own without a change."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "n8n-nodes", "scripts"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, tracked.split("\0")):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> None:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.test"]
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        [*who, "commit", "-qm", "All", "--allow-empty"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def run(checkout: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "scripts/n8n" / script), *arguments],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )


class TestAddresses:
    @pytest.mark.slow
    def test_are_set_in_one_go(self, checkout):
        before = run(checkout, "addresses.sh").stdout.split()
        assert len(before) == 3
        assert run(checkout, "addresses.sh", HOMEPAGE, REPOSITORY, EMAIL).returncode == 0
        assert run(checkout, "addresses.sh").stdout.split() == [HOMEPAGE, REPOSITORY, EMAIL]
        sources = [
            file
            for folder in ("nodes", "credentials")
            for file in (checkout / "n8n-nodes" / folder).rglob("*")
            if file.is_file()
        ]
        text = "".join(file.read_text() for file in [*sources, checkout / "n8n-nodes/README.md"])
        assert not [address for address in before if address in text]
        assert f"{HOMEPAGE}#credentials" in text
        manifest = json.loads((checkout / "n8n-nodes/package.json").read_text())
        assert manifest["repository"]["url"] == REPOSITORY


class TestRelease:
    def test_is_refused_with_the_addresses_of_nobody(self, checkout):
        refused = run(checkout, "release.sh", "--check", "0.1.0")
        assert refused.returncode != 0
        assert "addresses are those of nobody" in refused.stderr

    @pytest.mark.parametrize(
        ("version", "reason"),
        [("1.0", "a version is like"), ("9.9.9", "has no '### 9.9.9' in its version history")],
    )
    def test_is_refused_without_a_version_that_is_told(self, checkout, version, reason):
        refused = run(checkout, "release.sh", "--check", version)
        assert refused.returncode != 0
        assert reason in refused.stderr

    def test_is_refused_with_changes(self, checkout):
        (checkout / "n8n-nodes/README.md").write_text("changed")
        refused = run(checkout, "release.sh", "--check", "0.1.0")
        assert "changes that are not committed" in refused.stderr

    def test_is_published_by_a_workflow_that_can_state_provenance(self):
        workflow = (ROOT / ".github/workflows/publish-n8n-node.yml").read_text()
        assert "id-token: write" in workflow
        assert "npm publish --provenance" in workflow
        assert 'tags: ["n8n-nodes-v*"]' in workflow
