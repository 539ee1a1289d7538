"""What logs, errors, files and trails hold: no secret, no inside, nothing a caller could forge."""

import asyncio
import io
import json
import logging
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.ids import uuid7
from backend.core.log import EcsFormatter, access_logger, configure_logging
from backend.core.signals import UnixCarrier
from backend.core.telemetry import RequestRecord
from backend.managers.audit import READ_PLATFORM, AuditManager
from backend.managers.gateway import GatewayManager
from backend.managers.tenant.models import UserRow
from backend.sink import read_copies
from tests.support.errands import EVERYTHING

pytestmark = pytest.mark.attack

ROOT = Path(__file__).resolve().parents[2]
SECRET = "argon2id-of-somebody"
ODD_QUERIES = [
    ("/api/v1/emails", {"cursor": "' OR 1=1 --"}),
    ("/api/v1/emails", {"limit": "1; DROP TABLE users"}),
    ("/api/v1/emails", {"recipient": "a@example.test' OR ''='"}),
    ("/api/v1/emails", {"state": "queued' --"}),
    ("/api/v1/audit", {"actor": "\x00"}),
    ("/api/v1/audit", {"action": "%" * 199 + "*"}),
    ("/api/v1/jobs", {"kind": "\ud7ff\U0001f600' \""}),
    ("/api/v1/emails/00000000-0000-0000-0000-000000000000", {}),
    ("/api/v1/email-templates/..%2f..%2fetc%2fpasswd", {}),
    ("/api/v1/email-templates/%00", {}),
]
STRAY_RETURNS = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "/oauth/authorize",
    "/oauth/authorize?x\r\nSet-Cookie: a=b",
    "/oauth/authorize?\\..\\..",
    "/oauth/authorize/../../evil?client_id=console",
    "javascript:alert(1)",
]
STRAY_REDIRECTS = [
    "http://localhost:8401/oauth2callback/",
    "http://localhost:8401/oauth2callback?x=1",
    "http://localhost:8401/oauth2callback#x",
    "http://localhost:8401@evil.example/oauth2callback",
    "http://evil.example/oauth2callback",
    "HTTP://localhost:8401/oauth2callback",
    "http://localhost:8401/oauth2callback%00",
]
ODD_LOG_INS = [
    {"email": "a\x00@example.test", "password": "x"},
    {"email": "a@example.test", "password": "\x00" * 100},
    {"email": "' OR ''='", "password": "' OR ''='"},
    {"email": "a" * 50_000, "password": "b"},
    {"email": "\U0001f600", "password": "\U0001f600"},
]


class TestLogs:
    async def test_a_failing_statement_keeps_its_values(self, database):
        row = {
            "id": uuid7(),
            "issuer": "local",
            "subject": "ada@example.test",
            "email": "ada@example.test",
            "name": "Ada",
            "password_hash": SECRET,
            "platform_role": None,
            "disabled": False,
            "created_at": database.clock(),
        }
        formatter = EcsFormatter("test")
        with pytest.raises(sa.exc.IntegrityError) as caught:
            async with database.transaction(SystemScope(EVERYTHING)) as tx:
                await tx.insert(UserRow, [row, {**row, "id": uuid7()}])
        record = logging.LogRecord("x", 40, "", 0, "failed", None, None)
        record.exc_info = (type(caught.value), caught.value, caught.tb)
        assert SECRET not in formatter.format(record)

    async def test_credentials_are_not_written(self, app, people):
        """Not even by a server error, and at the most talkative level."""
        stream = io.StringIO()
        root = logging.getLogger()
        before, level = root.handlers[:], root.level
        ada = await app.caller("owner")
        token = ada.http.headers["authorization"][7:]
        try:
            configure_logging("test", "debug", stream)
            user = await people.person()
            await people.member(ada.tenant, user, "owner")
            id_token = await people.id_token(user.email)
            key = await ada.http.post("/api/v1/api-keys", json={"name": "k", "role": "viewer"})
            shown = key.json()["key"]
            await app.client(**{"X-API-Key": shown}).get("/api/v1/me")
            await app.client().post(
                "/oauth/login", data={"email": "a@example.test", "password": "typed password"}
            )
            app.asgi.control_plane.state.managers.clear()
            assert (await ada.http.get("/api/v1/clients")).status_code == 500
        finally:
            root.handlers[:], root.level = before, level
        text = stream.getvalue()
        assert "request_failed" in text
        for secret in (token, id_token, shown, ada.client_secret, "typed password", "c" * 40):
            assert secret not in text

    @pytest.mark.parametrize(
        "hostile",
        [
            '\n{"log.level":"info","message":"forged"}',
            "\r\nforged",
            "\x1b[2J",
            "\u2028forged",
            "\x00",
        ],
    )
    def test_a_line_stays_a_line(self, hostile):
        out = io.StringIO()
        record = RequestRecord(
            1, 0.1, "GET" + hostile, "/r", "/p" + hostile, 200, "", "actor" + hostile, hostile,
            hostile, "", "", "", forced=False, problem=hostile,
        )  # fmt: skip
        access_logger("test", out)([record])
        entry = logging.LogRecord("x", 40, "", 0, "said %s", (hostile,), None)
        entry.address = hostile
        for text in (out.getvalue(), EcsFormatter("test").format(entry) + "\n"):
            assert text.count("\n") == 1
            assert "\x1b" not in text
            json.loads(text)


class TestErrors:
    async def test_show_nothing_of_the_inside(self, app):
        ada = await app.caller("owner")
        for path, params in ODD_QUERIES:
            answer = await ada.http.get(path, params=params)
            assert answer.status_code < 500, answer.text
            for inside in (
                "SELECT",
                "sqlalchemy",
                "Traceback",
                "sqlite",
                "psycopg",
                "backend/",
                ".py",
            ):
                assert inside not in answer.text

    async def test_a_log_in_with_anything_is_no_bug(self, app, people):
        await people.person()
        http = app.client()
        answer = await http.get("/oauth/authorize")
        assert answer.status_code == 400
        query = (
            "response_type=code&client_id=console&redirect_uri=http://localhost:8401/oauth2callback"
            "&scope=openid&state=s&nonce=n%00n&code_challenge=" + "a" * 43
        )
        for address in (
            f"{query}&code_challenge_method=S256",
            f"{query}&code_challenge_method=plain",
        ):
            answer = await http.get(f"/oauth/authorize?{address}")
            assert answer.status_code < 500
        return_to = "/oauth/authorize?" + query.replace("%00", "")
        page = await http.get("/oauth/login", params={"return_to": return_to})
        csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
        for form in ODD_LOG_INS:
            given = {**form, "csrf": csrf, "return_to": return_to}
            answer = await http.post("/oauth/login", data=given)
            assert answer.status_code in {400, 401, 429}, answer.text

    async def test_a_bug_tells_its_number_alone(self, app):
        ada = await app.caller("owner")
        app.asgi.control_plane.state.managers.clear()
        answer = await ada.http.get("/api/v1/clients")
        assert answer.status_code == 500
        assert set(answer.json()) == {"type", "title", "status", "instance", "code", "request_id"}


class TestPages:
    """The pages of the log-in, with markup wherever a stranger can put some."""

    async def test_nothing_given_becomes_markup(self, app, people):
        await people.person()
        evil = '"><script>alert(1)</script>'
        http = app.client()
        for answer in (
            await http.get("/oauth/authorize", params={"client_id": evil, "redirect_uri": evil}),
            await http.get("/oauth/login", params={"return_to": evil}),
            await http.get("/oauth/logout", params={"id_token_hint": evil, "state": evil}),
            await http.post("/oauth/login", data={"email": evil, "return_to": evil, "csrf": evil}),
        ):
            assert "<script" not in answer.text
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]

    async def test_a_log_in_leads_nowhere_else(self, app, people):
        user = await people.person()
        for return_to in STRAY_RETURNS:
            form = {
                "email": user.email,
                "password": "correct horse battery",
                "return_to": return_to,
            }
            answer = await app.client().post("/oauth/login", data=form)
            assert answer.status_code == 400
            assert "location" not in answer.headers

    async def test_a_code_goes_to_the_registered_address_alone(self, app, people):
        await people.person()
        for redirect_uri in STRAY_REDIRECTS:
            answer = await app.client().get(
                "/oauth/authorize",
                params={
                    "response_type": "code",
                    "client_id": "console",
                    "redirect_uri": redirect_uri,
                    "scope": "openid",
                    "nonce": "n",
                    "state": "s",
                    "code_challenge": "a" * 43,
                    "code_challenge_method": "S256",
                },
            )
            assert answer.status_code == 400
            assert "location" not in answer.headers


class TestTrail:
    async def test_what_strangers_type_is_not_recorded(self, app, people):
        """People type passwords into the wrong field."""
        http = app.client()
        typed = "hunter2-in-the-wrong-field"
        await http.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=(typed, typed)
        )
        await http.get("/api/v1/me", headers={"Authorization": f"Bearer {typed}"})
        await http.get(f"/api/v1/{typed}", params={"token": typed})
        await http.request("HUNTER2", "/api/v1/me")
        app.asgi._telemetry.drain()
        await asyncio.gather(*app.platform.of(GatewayManager)._noting)
        async with app.platform.database.read(SystemScope(READ_PLATFORM)) as view:
            found = await app.platform.of(AuditManager).list_records(view, limit=200)
        assert {"access.denied", "client.authentication_failed"} <= {one.action for one in found}
        assert typed not in repr(found)
        assert "HUNTER2" not in repr(found)

    async def test_names_cannot_pass_for_other_records(self, app):
        """A name is a value of its record; actor, action and target are ours."""
        ada = await app.caller("owner")
        forged = 'x","actor":"user:root","action":"tenant.created'
        await ada.http.post("/api/v1/clients", json={"name": forged, "role": "viewer"})
        await app.sequence()
        (record, *_) = await ada.audit(app.platform, "client.created")
        assert record.data["name"] == forged
        assert record.actor == f"client:{ada.client_id}"
        report = (await ada.http.post("/api/v1/audit/verify")).json()
        assert report["valid"]

    async def test_an_act_that_cannot_be_recorded_does_not_happen(self, app, monkeypatch):
        ada = await app.caller("owner")
        database = app.platform.database

        def fail(*_):
            raise RuntimeError("no record today")

        monkeypatch.setattr(database, "audit_row", fail)
        answer = await ada.http.post("/api/v1/clients", json={"name": "c", "role": "viewer"})
        assert answer.status_code == 500
        monkeypatch.undo()
        items = (await ada.http.get("/api/v1/clients")).json()["items"]
        assert [one["name"] for one in items] == ["test"]


class TestFiles:
    def test_nobody_else_can_read_what_a_start_makes(self, tmp_path):
        """Whatever the umask of the shell, and in a folder that is open to all."""
        data = tmp_path / "data"
        data.mkdir(mode=0o755)
        environment = {**os.environ, "EMAIL_SENDER__DATA_DIR": str(data)}
        for command in ("migrate", "bootstrap"):
            subprocess.run(
                [sys.executable, "-m", "backend", command],
                check=True,
                env=environment,
                cwd=ROOT,
                capture_output=True,
                preexec_fn=lambda: os.umask(0o022),
            )
        made = [path for path in data.rglob("*") if not path.is_symlink()]
        assert {path.name for path in made} >= {"email-sender.db", "root.key", "console.json"}
        for path in made:
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path

    async def test_a_strange_datagram_harms_nobody(self, tmp_path):

        received = []
        carrier = UnixCarrier(tmp_path / "signals")
        async with carrier.listening(received.append):
            (path,) = (tmp_path / "signals").glob("*.sock")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as spoofer:
                for message in (b"\xff\xfe", b"", b"x" * 6999, b"a principals "):
                    spoofer.sendto(message, str(path))
            for _ in range(100):
                if "a principals " in received:
                    break
                await asyncio.sleep(0.01)
        assert "a principals " in received
        assert stat.S_IMODE((tmp_path / "signals").stat().st_mode) == 0o700

    def test_a_message_id_leads_to_no_other_file(self, tmp_path):
        (tmp_path / "secret.eml").write_text("X-Envelope-From: a\r\n\r\nsecret")
        sink = tmp_path / "sink"
        sink.mkdir()
        for message_id in ("../secret", "<../../secret@x>", "/etc/passwd", "<*@*>", "..", "\x00"):
            assert read_copies(sink, message_id) == []

    def test_settings_do_not_show_their_secrets(self):
        done = subprocess.run(
            [sys.executable, "-m", "backend", "sink", "--port", "not-a-port"],
            env={
                **os.environ,
                "EMAIL_SENDER__SECURITY__ROOT_KEY": "c2VjcmV0" * 5,
                "EMAIL_SENDER__DATABASE__URL": "postgresql://u:hunter2@h/d",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "hunter2" not in done.stderr + done.stdout
