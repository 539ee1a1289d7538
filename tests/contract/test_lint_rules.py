"""Every small lint rule finds what breaks it and leaves alone what only looks like it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from scripts.lint import rules
from scripts.lint.rules import Finding, Source

ROOT = Path(__file__).resolve().parents[2]

IN_MANAGER = "backend/managers/email/manager.py"
IN_CONSOLE = "dashboard/views/home.py"


def lines(rule: Callable[[Source], Iterator[Finding]], path: str, text: str) -> list[int]:
    return [finding.line for finding in rule(Source(path, dedent(text).lstrip("\n")))]


class TestCheckCommits:
    @pytest.mark.parametrize("call", ["await session.commit()", "tx.session.rollback()"])
    def test_finds_a_commit_outside_core(self, call: str) -> None:
        code = f"async def f(session, tx):\n    {call}\n"
        assert lines(rules.check_commits, IN_MANAGER, code) == [2]

    def test_allows_core_to_commit(self) -> None:
        code = "async def f(session):\n    await session.commit()\n"
        assert lines(rules.check_commits, "backend/core/database.py", code) == []

    def test_allows_words_that_contain_it(self) -> None:
        code = "def f(tx, hint):\n    tx.after_commit(hint)\n    tx.commitment\n"
        assert lines(rules.check_commits, IN_MANAGER, code) == []


class TestCheckClock:
    @pytest.mark.parametrize(
        "code",
        [
            "import datetime\nx = datetime.datetime.now(datetime.UTC)",
            "from datetime import datetime\nx = datetime.utcnow()",
            "from datetime import datetime as dt\nx = dt.now()",
            "import datetime as d\nx = d.date.today()",
            "import time\nx = time.time()",
            "from time import time as now\nx = now()",
            "from datetime import datetime\nfield = make(default_factory=datetime.now)",
        ],
    )
    @pytest.mark.parametrize("path", [IN_MANAGER, IN_CONSOLE])
    def test_finds_a_read_of_the_wall_clock(self, path: str, code: str) -> None:
        assert lines(rules.check_clock, path, code) == [2]

    def test_allows_the_clock_itself(self) -> None:
        code = "from datetime import UTC, datetime\nx = datetime.now(UTC)"
        assert lines(rules.check_clock, "backend/core/clock.py", code) == []

    def test_allows_the_default_of_an_injected_clock(self) -> None:
        code = "import time\ndef f(a, clock=time.time, *, other=time.time): ..."
        assert lines(rules.check_clock, IN_CONSOLE, code) == []

    def test_allows_durations_and_other_nows(self) -> None:
        code = "import time\nfrom datetime import datetime\nx = time.monotonic()\ny = tx.now()"
        assert lines(rules.check_clock, IN_MANAGER, code) == []


class TestCheckEnvironment:
    @pytest.mark.parametrize(
        "code",
        [
            "import os\nx = os.environ['HOME']",
            "import os\nx = os.getenv('HOME')",
            "from os import environ as e\nx = e.get('HOME')",
        ],
    )
    @pytest.mark.parametrize("path", [IN_MANAGER, IN_CONSOLE])
    def test_finds_a_read_of_the_environment(self, path: str, code: str) -> None:
        assert lines(rules.check_environment, path, code) == [2]

    @pytest.mark.parametrize("path", ["backend/settings.py", "dashboard/settings.py"])
    def test_allows_settings(self, path: str) -> None:
        assert lines(rules.check_environment, path, "import os\nx = os.environ") == []

    def test_allows_the_rest_of_os(self) -> None:
        code = "import os\nx = os.getpid()\ny = self.environ"
        assert lines(rules.check_environment, IN_MANAGER, code) == []


class TestCheckSql:
    @pytest.mark.parametrize(
        "code",
        [
            "from sqlalchemy import text\nx = text('select 1')",
            "import sqlalchemy as sa\nx = sa.text('select 1')",
            "from sqlalchemy import sql\nx = sql.text('select 1')",
            "import sqlalchemy as sa\nx = sa.select(Email.__table__)",
            "import sqlalchemy as sa\nx = connection.exec_driver_sql('select 1')",
        ],
    )
    def test_finds_sql_that_no_tenant_confines(self, code: str) -> None:
        assert lines(rules.check_sql, IN_MANAGER, code) == [2]

    @pytest.mark.parametrize("home", ["backend/core/database.py", "backend/migrations/env.py"])
    def test_allows_core_and_migrations(self, home: str) -> None:
        code = "from sqlalchemy import text\nx = text('select 1'), Email.__table__"
        assert lines(rules.check_sql, home, code) == []

    def test_allows_other_texts(self) -> None:
        code = "import sqlalchemy as sa\nx = text('hello')\ny = sa.Text()\nz = Email.__tablename__"
        assert lines(rules.check_sql, IN_MANAGER, code) == []


class TestCheckTransactions:
    @pytest.mark.parametrize("block", ["self._db.transaction(scope)", "db.read(scope)"])
    @pytest.mark.parametrize(
        "call",
        [
            "await httpx.get(url)",
            "await aiosmtplib.send(message)",
            "socket.create_connection(peer)",
            "await asyncio.open_connection(host, 25)",
            "await self._http.post(url)",
            "await self.smtp.send_message(message)",
        ],
    )
    def test_finds_a_network_call_in_the_block(self, block: str, call: str) -> None:
        code = f"""
            import asyncio, socket, aiosmtplib, httpx
            async def f(self, db, scope):
                async with {block} as tx:
                    if tx:
                        {call}
        """
        assert lines(rules.check_transactions, IN_MANAGER, code) == [5]

    def test_allows_the_call_before_and_after_the_block(self) -> None:
        code = """
            import httpx
            async def f(self, db, scope):
                await self._http.get("/before")
                async with db.transaction(scope) as tx:
                    await self._tenants.get_tenant(tx)
                await httpx.get("/after")
        """
        assert lines(rules.check_transactions, IN_MANAGER, code) == []

    def test_allows_what_runs_after_the_commit(self) -> None:
        code = """
            async def f(self, db, scope):
                async with db.transaction(scope) as tx:
                    async def tell():
                        await self._http.post("/hint")
                    tx.after_commit(tell)
                    tx.after_commit(lambda: self._http.post("/hint"))
        """
        assert lines(rules.check_transactions, IN_MANAGER, code) == []

    def test_allows_network_in_other_blocks(self) -> None:
        code = """
            import httpx
            async def f(self):
                async with httpx.AsyncClient() as client:
                    await client.get("/")
        """
        assert lines(rules.check_transactions, IN_MANAGER, code) == []


class TestCheckOutbound:
    @pytest.mark.parametrize(
        "code",
        [
            "import asyncio\nasyncio.get_running_loop().getaddrinfo(host, 25)",
            "import socket\nsocket.getaddrinfo(host, 25)",
            "from socket import create_connection\ncreate_connection(peer)",
            "import asyncio\nasyncio.open_connection(host, 25)",
            "loop = self._loop\nawait loop.sock_connect(connection, peer)",
            "import httpx\nclient = httpx.AsyncClient()",
            "from httpx import AsyncClient as C\nclient = C()",
            "import httpx\nawait httpx.get(url)",
            "import os\nimport smtplib",
            "import os\nfrom aiosmtplib import SMTP",
            "import os\nfrom http import client",
            "import os\nimport dns.resolver",
            "import os\nfrom urllib.request import urlopen",
        ],
    )
    def test_finds_a_way_out_of_its_own(self, code: str) -> None:
        assert lines(rules.check_outbound, IN_MANAGER, code) == [2]

    @pytest.mark.parametrize(
        "path",
        ["backend/kit/outbound/_http.py", "backend/kit/smtp/_client.py", "backend/core/signals.py"],
    )
    def test_allows_the_way_out_itself(self, path: str) -> None:
        code = "import aiosmtplib\nawait loop.sock_connect(connection, peer)"
        assert lines(rules.check_outbound, path, code) == []

    def test_allows_what_only_looks_like_it(self) -> None:
        code = """
            import socket
            from http import HTTPStatus
            from urllib.parse import urlsplit
            import httpx
            def f(self, answer: httpx.Response):
                name = socket.gethostname()
                self._outbound.request("GET", url)
                self.requests.get(name)
                await self._outbound.connect(name, 25)
        """
        assert lines(rules.check_outbound, IN_MANAGER, code) == []

    def test_does_not_concern_the_console(self) -> None:
        assert rules.check(Source(IN_CONSOLE, "import httpx\nhttpx.Client()\n")) == []


class TestCheckImports:
    @pytest.mark.parametrize("path", [IN_MANAGER, IN_CONSOLE])
    def test_finds_an_import_inside_a_function(self, path: str) -> None:
        code = """
            def outer():
                def inner():
                    import json
                async def other():
                    from os import path
        """
        assert lines(rules.check_imports, path, code) == [3, 5]

    def test_allows_conditional_imports_at_the_top(self) -> None:
        code = """
            import sys
            if sys.platform != "win32":
                import uvloop
            try:
                import psycopg
            except ImportError:
                psycopg = None
        """
        assert lines(rules.check_imports, IN_MANAGER, code) == []


class TestCheckTypeIgnores:
    @pytest.mark.parametrize(
        ("code", "line"),
        [
            ("x = 1  # type: ignore\n", 1),
            ("x = 1\ny = f(  # type:ignore []\n    x)\n", 2),
            ("def f(a):  # type: ignore\n    return a\n", 1),
            ("# type: ignore[assignment]\nx = 1\n", 1),
            ("# mypy: ignore-errors\nx = 1\n", 1),
        ],
    )
    def test_finds_what_silences_too_much(self, code: str, line: int) -> None:
        assert lines(rules.check_type_ignores, "scripts/bench.py", code) == [line]

    def test_finds_a_function_without_checks(self) -> None:
        code = "from typing import no_type_check\n@no_type_check\ndef f(): ...\n"
        assert lines(rules.check_type_ignores, "scripts/bench.py", code) == [2]

    def test_allows_one_named_error_on_one_line(self) -> None:
        code = "x: int = f()  # type: ignore[assignment]  # f is untyped\ny = '# type: ignore'\n"
        assert lines(rules.check_type_ignores, "scripts/bench.py", code) == []


# Put together here for the same reason as in the rule: this file is checked too.
REGISTRY_LINES = [
    "https://" + "py" + "pi.org/simple",
    "https://files." + "python" + "hosted.org/packages",
    "https://" + "registry." + "npmjs.org/left-pad",
    "https://proxy." + "go" + "lang.org",
    "deb http://deb." + "debian.org/debian bookworm main",
]
MACHINE_LINES = [
    "cd /" + "work/main",
    "cache = '/" + "root/.cache'",
    "see /" + "home/ada/notes",
    'open("/' + 'Users/ada/notes")',
    "C:\\" + "Users\\ada",
]


class TestCheckAddresses:
    @pytest.mark.parametrize("line", REGISTRY_LINES)
    def test_finds_a_registry_in_any_file(self, line: str) -> None:
        assert lines(rules.check_addresses, "docs/setup.md", f"first\n{line}\n") == [2]

    @pytest.mark.parametrize("line", MACHINE_LINES)
    def test_finds_a_path_of_one_machine(self, line: str) -> None:
        assert lines(rules.check_addresses, "Makefile", f"first\n{line}\n") == [2]

    @pytest.mark.parametrize(
        "line",
        [
            "installed by pip from a package registry such as PyPI",
            "/usr/lib/postgresql/15/bin/initdb",
            "volumes: [n8n:/home/node/.n8n]",
            "GET /api/v1/work/items and /framework/" + "root/",
            "$HOME/.cache/email-sender",
        ],
    )
    def test_allows_names_and_places_every_machine_has(self, line: str) -> None:
        assert lines(rules.check_addresses, "docs/setup.md", line) == []


class TestCheckLocks:
    @pytest.mark.parametrize(
        "line",
        [
            "--index-url https://mirror.example/simple",
            "--find-links wheels",
            "-i https://x",
            "a @ https://x/a.whl",
        ],
    )
    def test_finds_an_address_in_a_requirements_lock(self, line: str) -> None:
        text = f"anyio==4.16.0 \\\n    --hash=sha256:00\n{line}\n"
        assert lines(rules.check_locks, "requirements.lock", text) == [3]

    def test_finds_an_address_in_an_npm_lock(self) -> None:
        text = '{\n  "version": "1.0.0",\n  "resolved": "https://mirror.example/a.tgz"\n}\n'
        assert lines(rules.check_locks, "n8n-nodes/package-lock.json", text) == [3]

    def test_allows_names_versions_and_hashes(self) -> None:
        text = (
            "anyio==4.16.0 ; python_version >= '3.11' \\\n    --hash=sha256:00\n    # via httpx\n"
        )
        assert lines(rules.check_locks, "requirements-dev.lock", text) == []
        npm = '{\n  "integrity": "sha512-00==",\n  "funding": {"url": "https://example.test"}\n}\n'
        assert lines(rules.check_locks, "package-lock.json", npm) == []

    def test_allows_addresses_elsewhere(self) -> None:
        assert lines(rules.check_locks, "README.md", "see https://example.test") == []


class TestCheck:
    def test_applies_the_rules_of_the_product_to_the_product_only(self) -> None:
        code = "import time\nx = time.time()\n"
        assert [f.rule for f in rules.check(Source(IN_MANAGER, code))] == ["clock"]
        assert rules.check(Source("tests/unit/email/test_manager.py", code)) == []

    def test_reports_a_file_that_is_not_python(self) -> None:
        found = rules.check(Source(IN_MANAGER, "x = 1\ndef (:\n"))
        assert [(f.rule, f.line) for f in found] == [("syntax", 2)]


class TestMain:
    def test_fails_naming_path_line_and_rule(self, tmp_path: Path) -> None:
        bad = tmp_path / IN_MANAGER
        bad.parent.mkdir(parents=True)
        bad.write_text("async def f(session):\n    await session.commit()\n")
        (tmp_path / "ignored.py").write_text("# type: ignore\n")
        (tmp_path / ".gitignore").write_text("ignored.py\n")
        (tmp_path / "picture.png").write_bytes(b"\x89PNG\0" + REGISTRY_LINES[0].encode())
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        done = subprocess.run(
            [sys.executable, "-m", "scripts.lint.rules", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        found, summary = done.stdout.splitlines()
        assert found.startswith(f"{IN_MANAGER}:2 transaction-in-core ")
        assert summary == "2 files, 1 broken rules"

    @pytest.mark.slow  # scripts/test --quick has a stage for it
    def test_this_repository_keeps_the_rules(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert rules.main([str(ROOT)]) == 0, capsys.readouterr().out
