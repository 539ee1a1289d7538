"""The import laws of docs/decisions/0001 hold, and each of them would notice being broken.

The laws are tried on a small synthetic tree with the real names, so that the repository's own code
can neither hide a violation nor cause one.
"""

import contextlib
import io
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from importlinter import configuration
from importlinter.application import use_cases
from importlinter.application.output import console

ROOT = Path(__file__).resolve().parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
PACKAGES = {"backend", "dashboard"}

MANAGERS = (
    *(
        "config",
        "logging",
        "tracing",
        "metrics",
        "security",
        "audit",
        "tenant",
        "orchestrator",
        "monitoring",
    ),
    *("load_balancer", "replication", "alerting", "email", "identity", "gateway", "n8n"),
    "dashboard",
    "compliance",
)

configuration.configure()

CLEAN = {
    "backend/__init__.py": "",
    "backend/__main__.py": "import backend.cli\n",
    "backend/cli/__init__.py": "import backend.supervisor\nimport backend.worker\n",
    "backend/supervisor.py": "import backend.settings\n",
    "backend/worker.py": "import backend.app\n",
    "backend/app.py": (
        "import backend.settings\nimport backend.rooms\nimport backend.managers.gateway\n"
    ),
    "backend/settings.py": "import backend.rooms\nimport backend.managers.gateway\n",
    "backend/rooms.py": "import backend.managers.gateway\nimport backend.managers.email\n",
    "backend/core/__init__.py": "",
    "backend/core/database.py": "import sqlalchemy\n",
    "backend/core/errors.py": "",
    "backend/http/__init__.py": "import starlette\nimport backend.core.database\n",
    "backend/http/problem.py": "import fastapi\nimport backend.core.errors\n",
    "backend/kit/__init__.py": "",
    "backend/kit/smtp/__init__.py": "import backend.kit.smtp._client\n",
    "backend/kit/smtp/_client.py": "import backend.core.errors\nimport backend.kit.outbound\n",
    "backend/kit/outbound/__init__.py": "import httpx\n",
    "backend/managers/__init__.py": "",
    "backend/migrations/__init__.py": "",
    "backend/migrations/env.py": "import sqlalchemy\nimport backend.rooms\n",
    "backend/sink/__init__.py": "",
    "backend/sink/routes.py": "import backend.http\nimport backend.managers.email\n",
    "dashboard/__init__.py": "",
    "dashboard/api.py": "import httpx\n",
}
for name in MANAGERS:
    room, inside = f"backend/managers/{name}", f"backend.managers.{name}"
    CLEAN |= {
        f"{room}/__init__.py": (
            f"import {inside}.errors\nimport {inside}.manager\nimport {inside}.routes\n"
        ),
        f"{room}/manager.py": f"import sqlalchemy\nimport {inside}.models\n",
        f"{room}/models.py": "import sqlalchemy\nimport backend.core.database\n",
        f"{room}/errors.py": "import backend.core.errors\n",
        f"{room}/routes.py": f"import fastapi\nimport backend.http\nimport {inside}.manager\n",
        f"{room}/schemas.py": "import pydantic\n",
        f"{room}/jobs.py": f"import {inside}\nimport backend.kit.smtp\n",
    }
# One import down every step of the tiers.
CLEAN["backend/managers/gateway/_token.py"] = (
    "import backend.managers.tenant\n"
    "import backend.managers.email\n"
    "import backend.managers.config\n"
)


def write_tree(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


@pytest.fixture(scope="module")
def clean_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("house")
    write_tree(root, CLEAN)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.fixture
def tree(clean_tree: Path, tmp_path: Path) -> Path:
    shutil.copytree(clean_tree, tmp_path / "house")
    return tmp_path / "house"


@dataclass(frozen=True)
class Done:
    """How a check ended, and what it said."""

    kept: bool
    said: str


def lint_imports(root: Path) -> Done:
    """What the command does, in this process: it takes longer to start than to check.

    Not by the command's own function, which switches off every logger of the process.
    """
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(root)
        patch.setattr(console, "width", 200)
        # The tree's own `backend` must win over the one that is installed, and loaded.
        patch.syspath_prepend(root)
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            patch.delitem(sys.modules, name)
        kept = use_cases.lint_imports(cache_dir=None, no_logo=True)
    return Done(kept, said.getvalue())


def contract_name(contract_id: str) -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return next(c["name"] for c in contracts if c["id"] == contract_id)


class TestThisRepository:
    @pytest.mark.slow  # scripts/test --quick has a stage for it
    def test_keeps_every_contract(self) -> None:
        done = subprocess.run(
            [str(LINT_IMPORTS), "--no-logo", "--no-cache"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


class TestContracts:
    def test_keep_a_tree_that_obeys(self, clean_tree: Path) -> None:
        done = lint_imports(clean_tree)
        assert done.kept, done.said
        assert "7 kept, 0 broken" in done.said

    def test_keep_a_tree_where_managers_are_still_missing(self, tree: Path) -> None:
        for name in MANAGERS:
            if name not in {"tenant", "gateway", "email", "config"}:
                shutil.rmtree(tree / "backend/managers" / name)
        shutil.rmtree(tree / "backend/cli")
        for name in ("__main__", "worker", "supervisor"):
            (tree / f"backend/{name}.py").unlink()
        done = lint_imports(tree)
        assert done.kept, done.said

    @pytest.mark.parametrize(
        ("contract", "path", "code"),
        [
            pytest.param(
                "floors", "backend/core/events.py", "import backend.http", id="core to http"
            ),
            pytest.param(
                "floors",
                "backend/http/deps.py",
                "import backend.managers.tenant",
                id="http to room",
            ),
            pytest.param(
                "floors", "backend/core/log.py", "import backend.kit.smtp", id="core to kit"
            ),
            pytest.param(
                "floors", "backend/kit/smtp/_a.py", "import backend.http", id="kit to http"
            ),
            pytest.param(
                "floors",
                "backend/kit/templating.py",
                "import backend.managers.email",
                id="kit to room",
            ),
            pytest.param(
                "floors",
                "backend/managers/email/_limits.py",
                "import backend.settings",
                id="room to settings",
            ),
            pytest.param(
                "floors", "backend/settings.py", "import backend.app", id="settings to app"
            ),
            pytest.param("floors", "backend/app.py", "import backend.worker", id="app to worker"),
            pytest.param(
                "floors",
                "backend/managers/email/_copies.py",
                "import backend.sink",
                id="room to sink",
            ),
            pytest.param(
                "doors",
                "backend/sink/routes.py",
                "import backend.managers.email.models",
                id="sink past a door",
            ),
            pytest.param("floors", "backend/helpers.py", "", id="module without a floor"),
            pytest.param(
                "floors",
                "backend/core/events.py",
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import backend.http",
                id="core to http in a type",
            ),
            pytest.param(
                "tiers",
                "backend/managers/tenant/_sign_up.py",
                "import backend.managers.gateway",
                id="lower to upper tier",
            ),
            pytest.param(
                "tiers",
                "backend/managers/gateway/_flow.py",
                "import backend.managers.n8n",
                id="same tier",
            ),
            pytest.param(
                "tiers", "backend/managers/billing/__init__.py", "", id="unplaced manager"
            ),
            pytest.param(
                "doors",
                "backend/managers/gateway/_token.py",
                "import backend.managers.tenant.models",
                id="past a lower manager's door",
            ),
            pytest.param(
                "doors",
                "backend/app.py",
                "from backend.managers.tenant import models",
                id="composition root into tables",
            ),
            pytest.param(
                "doors",
                "backend/app.py",
                "import backend.managers.email.jobs",
                id="composition root into what the door hands out",
            ),
            pytest.param(
                "doors",
                "backend/worker.py",
                "import backend.managers.email.routes",
                id="worker into routes",
            ),
            pytest.param(
                "doors",
                "backend/migrations/env.py",
                "import backend.managers.tenant.routes",
                id="migrations into routes",
            ),
            pytest.param(
                "kit-doors",
                "backend/managers/email/_send.py",
                "import backend.kit.smtp._client",
                id="past a tool's door",
            ),
            *(
                pytest.param(
                    "web-at-the-edge",
                    f"backend/{module}.py",
                    f"import {package}",
                    id=f"{package} in {module}",
                )
                for module, package in (
                    ("core/context", "fastapi"),
                    ("kit/smtp/_client", "starlette"),
                    ("managers/email/manager", "starlette.requests"),
                    ("managers/email/models", "fastapi"),
                    ("managers/email/errors", "starlette"),
                )
            ),
            pytest.param(
                "web-at-the-edge",
                "backend/managers/email/manager.py",
                "import backend.http.problem",
                id="edge toolkit in manager",
            ),
            pytest.param(
                "web-at-the-edge",
                "backend/managers/email/manager.py",
                "import backend.managers.email.routes",
                id="its own face in manager",
            ),
            *(
                pytest.param(
                    "sql-inside",
                    f"backend/{module}.py",
                    "from sqlalchemy.orm import Session",
                    id=f"sqlalchemy in {module}",
                )
                for module in (
                    *("http/deps", "managers/email/routes", "managers/email/schemas"),
                    *("managers/gateway/data_plane", "managers/gateway/oauth_routes"),
                )
            ),
            pytest.param(
                "console",
                "dashboard/state.py",
                "import backend.core.errors",
                id="console to backend",
            ),
            pytest.param(
                "console", "backend/managers/dashboard/_view.py", "import dashboard", id="and back"
            ),
        ],
    )
    def test_break(self, tree: Path, contract: str, path: str, code: str) -> None:
        target = tree / path
        before = target.read_text() if target.exists() else ""
        write_tree(tree, {path: f"{before}{code}\n"})
        done = lint_imports(tree)
        assert not done.kept, done.said
        assert f"{contract_name(contract)} BROKEN" in done.said

    def test_name_the_door_to_use(self, tree: Path) -> None:
        bad = "import backend.managers.tenant.models\n"
        write_tree(tree, {"backend/managers/email/_a.py": bad})
        expected = (
            "backend.managers.email._a imports backend.managers.tenant.models: "
            "enter by backend.managers.tenant"
        )
        assert expected in lint_imports(tree).said
