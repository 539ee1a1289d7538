"""What `scripts/run` decides before it starts anything, and how it says that it could not."""

import argparse
import asyncio
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.supervisor import Supervisor
from scripts import launcher
from scripts.launcher import LaunchError, MainJob, Ports, environment
from scripts.n8n.api import N8nError
from tests.e2e.conftest import free_port_base
from tests.support.loopback import answering

FIRST = {"client_id": "es_1", "client_secret": "s", "tenant_slug": "demo"}


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("EMAIL_SENDER__")]:
        monkeypatch.delenv(name)


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], launch) -> str:
    """The one line of a launch that fails."""
    monkeypatch.setattr(launcher, "_launch", launch)
    with pytest.raises(SystemExit) as ended:
        launcher.main([])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said.removeprefix("scripts/run: ").removesuffix("\n")


class TestBehindAProxy:
    @pytest.fixture(autouse=True)
    def proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("NO_PROXY", "no_proxy", "http_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def test_the_main_job_reaches_the_api(self):
        async with answering(lambda _: {"access_token": "t"}) as api, MainJob(api, FIRST):
            pass

    async def test_the_started_processes_are_found_ready(self, tmp_path, monkeypatch):
        monkeypatch.setattr(launcher, "_READY_SECONDS", 0.0)
        async with answering(lambda _: {}) as api, Supervisor([], tmp_path) as supervisor:
            await launcher._ready(supervisor, {"api": f"{api}/readyz"})


class TestFindAudit:
    @staticmethod
    def said(monkeypatch: pytest.MonkeyPatch, *records: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Let `email-sender audit-list` print these, one more each time it is asked."""
        asked: list[tuple[str, ...]] = []

        def command(_: object, *arguments: str) -> str:
            asked.append(arguments)
            return json.dumps(records[min(len(asked), len(records)) - 1]) + "\n"

        monkeypatch.setattr(launcher, "_command", command)
        return asked

    @pytest.mark.slow
    async def test_waits_for_the_number_of_what_the_client_did(self, monkeypatch):
        record = {"seq": None, "action": "email.submitted", "actor": "client:es_1"}
        asked = self.said(monkeypatch, record, {**record, "seq": 7})
        found = await launcher.find_audit({}, FIRST, "email:1")
        assert found == {**record, "seq": 7}
        assert asked == [("audit-list", "--tenant", "demo", "--target", "email:1")] * 2

    async def test_refuses_what_somebody_else_did(self, monkeypatch):
        record = {"seq": 7, "action": "email.submitted", "actor": "client:es_2"}
        self.said(monkeypatch, record)
        wanted = "email.submitted of email:1 was done by client:es_2, not by client:es_1"
        with pytest.raises(LaunchError, match=wanted):
            await launcher.find_audit({}, FIRST, "email:1")


class TestMain:
    def test_a_folder_that_cannot_be_made_is_one_line(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "file").touch()
        wanted = tmp_path / "file" / "data"
        arguments = ["--once", "--port-base", str(free_port_base()), "--data-dir", str(wanted)]
        launch = launcher._launch
        said = fails(monkeypatch, capsys, lambda _: launch(launcher._options(arguments)))
        assert said == f"{wanted}: Not a directory"

    def test_an_api_that_is_gone_is_one_line(self, monkeypatch, capsys):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            api = f"http://127.0.0.1:{probe.getsockname()[1]}"

            async def launch(_: argparse.Namespace) -> None:
                async with MainJob(api, FIRST):
                    pytest.fail("somebody answered")

            said = fails(monkeypatch, capsys, launch)
        assert said.startswith(f"no answer from {api}/oauth/token: ")

    @pytest.mark.parametrize("error", [LaunchError, N8nError])
    def test_of_a_long_reason_it_says_the_first_line(self, monkeypatch, capsys, error):
        async def launch(_: argparse.Namespace) -> None:
            raise error("it failed\nThe end of its log")

        assert fails(monkeypatch, capsys, launch) == "it failed"


class TestWithN8n:
    async def test_says_how_to_log_in_to_n8n(self, monkeypatch, capsys, tmp_path):
        """Its password is random and kept in a file of the data folder, where nobody looks."""

        class Started:
            owner_email, owner_password = "owner@example.test", "its-own"
            log_file = tmp_path / "n8n.log"

            def __init__(self, folder: Path, **_: object) -> None:
                assert folder == tmp_path / "n8n"

            def stop(self) -> None:
                pass

        def workflow(*_: object) -> tuple[dict[str, Any], int, str]:
            return {"id": "01", "message_id": "<1@demo.test>", "job_id": "02"}, 7, "success"

        async def record(*_: object) -> dict[str, Any]:
            return {"seq": 3, "action": "email.submitted", "actor": "client:es_1"}

        monkeypatch.setattr(launcher, "N8nServer", Started)
        monkeypatch.setattr(launcher, "_run_workflow", workflow)
        monkeypatch.setattr(launcher, "find_audit", record)
        monkeypatch.setattr(MainJob, "accepted", lambda *_: asyncio.sleep(0, {"milliseconds": 5}))
        options = launcher._options(["--with-n8n", "--data-dir", str(tmp_path)])
        async with answering(lambda _: {"access_token": "t"}) as api:
            ports = Ports(int(api.rpartition(":")[2]))
            async with launcher._n8n(options, ports, tmp_path, client=FIRST, env={}) as ran:
                assert ran["n8n_execution"] == {"id": "7", "status": "success"}
        said = capsys.readouterr().out
        assert "log in to n8n as owner@example.test, password its-own" in said


class TestEnvironment:
    def test_is_what_the_options_decide(self, tmp_path):
        options = launcher._options(["--data-dir", str(tmp_path), "--port-base", "9400"])
        env = environment(options, Ports(9400))
        assert env["EMAIL_SENDER__DATA_DIR"] == str(tmp_path)
        assert env["EMAIL_SENDER__HTTP__PORT"] == "9400"
        assert env["EMAIL_SENDER__IDENTITY__ISSUER"] == "http://localhost:9400"
        assert env["EMAIL_SENDER__EMAIL__SMTP_URL"] == "smtp://127.0.0.1:9402"
        assert env["EMAIL_SENDER__EMAIL__SINK_DIRECTORY"] == str(tmp_path / "sink")
        assert "EMAIL_SENDER__DATABASE__URL" not in env
        assert "EMAIL_SENDER__WEBHOOKS__ALLOW_PRIVATE" not in env

    def test_lets_webhooks_lead_to_an_n8n_beside_it(self, tmp_path):
        options = launcher._options(["--with-n8n", "--data-dir", str(tmp_path)])
        env = environment(options, Ports(9400))
        assert env["EMAIL_SENDER__WEBHOOKS__ALLOW_PRIVATE"] == "true"

    def test_an_operators_own_settings_stand_in_for_options(self, tmp_path, monkeypatch):
        own = {
            "DATA_DIR": str(tmp_path),
            "EMAIL__SMTP_URL": "smtp://user:secret@mail.example.test",
            "DATABASE__URL": "postgresql://user:secret@db/app",
            "IDENTITY__ISSUER": "https://api.example.test",
        }
        for name, value in own.items():
            monkeypatch.setenv(f"EMAIL_SENDER__{name}", value)
        env = environment(launcher._options([]), Ports(8400))
        assert {name: env[f"EMAIL_SENDER__{name}"] for name in own} == own
        # Their mail server has no sink to look into.
        assert "EMAIL_SENDER__EMAIL__SINK_DIRECTORY" not in env

    def test_an_option_wins_over_a_setting(self, tmp_path: Path, monkeypatch):
        monkeypatch.setenv("EMAIL_SENDER__DATA_DIR", "elsewhere")
        monkeypatch.setenv("EMAIL_SENDER__HTTP__PORT", "1")
        env = environment(launcher._options(["--data-dir", str(tmp_path)]), Ports(8400))
        assert env["EMAIL_SENDER__DATA_DIR"] == str(tmp_path)
        assert env["EMAIL_SENDER__HTTP__PORT"] == "8400"
