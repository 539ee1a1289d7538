"""The two promises of the first command: it proves the main job, and it refuses clearly."""

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from backend.app import compose
from backend.core.context import Scope
from backend.core.database import Tx
from backend.managers.identity import IdentityManager
from backend.managers.identity._clients import Clients
from backend.settings import Settings
from backend.supervisor import PortTakenError, refuse_taken_ports
from tests.e2e.conftest import Launcher, RunningPlatform, free_port_base
from tests.support.prometheus import needs_prometheus

pytestmark = [pytest.mark.slow, pytest.mark.drill, pytest.mark.timeout(1200)]


Change = Callable[[Clients, Tx, str], Awaitable[object]]


async def rotate(clients: Clients, tx: Tx, row_id: str) -> None:
    """As its button in the console does."""
    await clients.rotate_client(tx, row_id, granter=None)


async def delete(clients: Clients, tx: Tx, row_id: str) -> None:
    """As its button in the console does."""
    await clients.delete_client(tx, row_id, remover=None)


async def change_clients(data: Path, change: Change) -> None:
    """Do it to every client of the demo tenant."""
    first = json.loads((data / "first-run.json").read_text())
    platform = compose(Settings(data_dir=data))
    clients = platform.of(IdentityManager).clients
    scope = Scope("test", tenant_id=first["tenant_id"])
    async with platform.running(), platform.database.transaction(scope) as tx:
        for row in await clients.list_clients(tx, limit=100):
            await change(clients, tx, row.id)


class TestOnce:
    def test_verifies_the_main_job_again_and_again_on_the_same_data(self, tmp_path: Path) -> None:
        base = str(free_port_base())
        file = tmp_path / "data" / "first-run.json"
        results = []
        secrets = []
        for start in range(3):
            if start == 2:
                file.unlink()
            launcher = Launcher("--once", "--port-base", base, "--data-dir", str(tmp_path / "data"))
            assert launcher.end() == 0, launcher.lines
            output = "\n".join(launcher.lines)
            results.append((output, json.loads(output.strip().splitlines()[-1])))
            secrets.append(json.loads(file.read_text())["client_secret"])
        for _, result in results:
            assert result["accepted"] is True
            assert result["milliseconds"] > 0
            assert result["n8n_execution"] is None
        assert len({result["message_id"] for _, result in results}) == 3
        audited = [result["audit_seq"] for _, result in results]
        assert audited == sorted(set(audited))
        # Shown once; a new one in place of one that was lost.
        assert secrets[0] == secrets[1] != secrets[2]
        shown = [[secret in output for secret in secrets] for output, _ in results]
        assert shown == [[True, True, False], [False, False, False], [False, False, True]]
        assert ["==> First start" in output for output, _ in results] == [True, False, False]
        for name in ("first-run.json", "console.json", "root.key"):
            mode = stat.S_IMODE((tmp_path / "data" / name).stat().st_mode)
            assert mode == 0o600, name
        for log in (tmp_path / "data" / "logs").glob("*.log"):
            assert not any(secret in log.read_text() for secret in secrets)
        copies = list((tmp_path / "data" / "sink").rglob("*.eml"))
        assert len(copies) == 3

    def test_needs_no_credential_that_people_can_change(self, tmp_path: Path) -> None:
        """Whoever rotates or deletes clients in the console stops their workflows, and no start."""
        data = tmp_path / "data"
        start = ("--once", "--port-base", str(free_port_base()), "--data-dir", str(data))
        shown = []
        for change in (None, rotate, delete):
            if change is not None:
                asyncio.run(change_clients(data, change))
            launcher = Launcher(*start)
            assert launcher.end() == 0, launcher.lines
            assert json.loads(launcher.lines[-1])["accepted"] is True
            shown.append((data / "first-run.json").read_bytes())
        assert len(set(shown)) == 1

    def test_verifies_a_prometheus_that_scrapes_every_process(self, tmp_path: Path) -> None:
        needs_prometheus()
        launcher = Launcher(
            "--once",
            "--with-prometheus",
            "--port-base",
            str(free_port_base()),
            "--data-dir",
            str(tmp_path),
        )
        assert launcher.end() == 0, launcher.lines
        said = "\n".join(launcher.lines)
        assert "scrape    4 targets are up: api, console, email-sender-tenant, worker" in said
        assert re.search(r"rule      \d+ are evaluated; email_sender:requests:rate5m has \d", said)
        assert "query     `up` through the API has 1 series" in said
        result = json.loads(launcher.lines[-1])["prometheus"]
        assert result["rules"] > 10
        assert (result["targets"], result["series"]) == (4, 1)
        file = tmp_path / "prometheus" / "prometheus.yml"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600  # it holds a secret

    def test_a_taken_port_is_a_clear_error(self, tmp_path: Path) -> None:
        base = free_port_base()
        with socket.socket() as other:
            other.bind(("127.0.0.1", base))
            other.listen()
            launcher = Launcher("--once", "--port-base", str(base), "--data-dir", str(tmp_path))
            assert launcher.end() == 1
        assert launcher.lines[-1] == (
            f"scripts/run: port {base} (API) is taken; choose others with --port-base"
        )

    def test_a_mail_server_that_is_away_fails_the_verification(self, tmp_path: Path) -> None:
        base = str(free_port_base())
        launcher = Launcher(
            "--once",
            "--port-base",
            base,
            "--data-dir",
            str(tmp_path),
            "--smtp-url",
            "smtp://127.0.0.1:9",
        )
        assert launcher.end() == 1
        assert "the e-mail is deferred" in launcher.lines[-1]


class TestRunning:
    def test_ctrl_c_stops_everything(self, tmp_path: Path) -> None:
        base = free_port_base()
        launcher = Launcher("--port-base", str(base), "--data-dir", str(tmp_path))
        seen = launcher.wait_for("Ctrl-C stops everything")
        assert any(f"http://localhost:{base + 1}" in line for line in seen)
        launcher.process.send_signal(signal.SIGINT)
        assert launcher.end() == 0
        refuse_taken_ports({str(port): port for port in range(base, base + 6)})

    def test_no_process_outlives_a_killed_launcher(self, tmp_path: Path) -> None:
        base = free_port_base()
        launcher = Launcher("--port-base", str(base), "--data-dir", str(tmp_path))
        launcher.wait_for("==> Running")
        launcher.process.kill()
        launcher.end()
        deadline = time.monotonic() + 40
        while True:
            try:
                refuse_taken_ports({str(port): port for port in range(base, base + 6)})
                return
            except PortTakenError:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def test_a_second_start_on_its_folder_is_refused(self, platform: RunningPlatform) -> None:
        """It took the console's configuration away, and every log-in of the first with it."""
        files = [platform.data_dir / "console.json", platform.data_dir / "first-run.json"]
        files += sorted((platform.data_dir / "console" / ".streamlit").iterdir())
        before = [file.read_bytes() for file in files]
        base = free_port_base()
        start = ("--once", "--port-base", str(base), "--data-dir", str(platform.data_dir))
        launcher = Launcher(*start)
        assert launcher.end() == 1
        (said,) = launcher.lines
        assert re.fullmatch(
            rf"scripts/run: {platform.data_dir} is in use by process \d+ "
            rf"\(http://localhost:{platform.port_base + 1}\); stop it, or use another folder",
            said,
        )
        assert [file.read_bytes() for file in files] == before

    def test_the_command_line_answers(self, platform: RunningPlatform) -> None:
        env = {**os.environ, "EMAIL_SENDER__DATA_DIR": str(platform.data_dir)}

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "backend", *arguments],
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )

        verify = run("audit-verify")
        assert verify.returncode == 0, verify.stderr
        assert "ok   demo" in verify.stdout
        nobody = run("audit-verify", "--tenant", "nobody")
        assert nobody.returncode == 2
        assert nobody.stderr.strip().splitlines()[-1] == "email-sender: no tenant 'nobody'"
        doctor = run("doctor")
        assert platform.client_secret not in doctor.stdout
