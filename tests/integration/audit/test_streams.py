"""The trail pushed out: to a real webhook listener and a real syslog receiver over TLS."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from backend.core.audit import AuditRecord
from backend.core.context import Scope, SystemScope
from backend.core.events import EventRecord
from backend.kit.outbound import HttpAnswer, UnreachableError
from backend.managers.audit import AuditManager, AuditSettings, StreamsFailingError, _push
from backend.managers.audit._push import WATCH_STREAMS
from backend.managers.audit.models import StreamRow
from tests.support.syslog import parsed, receiver

PATH = "/api/v1/audit-stream"
WEBHOOK = {"kind": "webhook", "target": "https://siem.example.com/audit", "from_beginning": True}


@pytest.fixture
def app_settings(app_settings):
    return app_settings.model_copy(update={"audit": AuditSettings(allow_private_streams=True)})


@pytest.fixture
async def owner(app):
    made = await app.caller()
    await act(app, made, 7)
    return made


async def act(app, caller, count, first=0):
    async with app.platform.database.transaction(Scope("user:ada", caller.tenant.id)) as tx:
        for number in range(first, first + count):
            tx.audit("thing.made", f"thing:{number}", name="é")
    await app.sequence()


async def push(app):
    """Once, as the tick does, and to the end."""
    streams = app.platform.of(AuditManager).streams
    begun = await streams.push_due(app.platform.database)
    await streams.settle()
    return begun


async def at_once(app, caller):
    """Let no wait hold the stream up."""
    async with app.platform.database.transaction(Scope("test", caller.tenant.id)) as tx:
        await tx.execute(
            sa.update(StreamRow)
            .where(StreamRow.tenant_id == caller.tenant.id)
            .values(next_try_at=tx.now().replace(year=2000), held_until=None)
        )


async def save(caller, **body):
    answer = await caller.http.put(PATH, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def told(caller):
    return (await caller.http.get(PATH)).json()


async def numbers(app, caller):
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        found = await tx.scalars(sa.select(AuditRecord.seq).where(AuditRecord.seq.is_not(None)))
    return sorted(found)


class TestSyslog:
    async def test_every_record_arrives_in_order_framed_and_named(self, app, owner, tmp_path):
        async with receiver(tmp_path) as siem:
            await save(
                owner,
                kind="syslog",
                target=f"127.0.0.1:{siem.port}",
                ca_certificate=siem.ca,
                from_beginning=True,
            )
            await app.sequence()
            await push(app)
        seen = [parsed(one) for one in siem.messages]
        records = [json.loads(text) for _, text in seen]
        assert [one["seq"] for one in records] == await numbers(app, owner)
        (pri, at, host, name, process, kind, sequence), _ = seen[-1]
        assert (pri, host, name, process) == ("110", "-", "email-sender", owner.tenant.id)
        assert (kind, sequence) == (records[-1]["action"], str(records[-1]["seq"]))
        assert at == records[-1]["at"]
        now = await told(owner)
        assert (now["seq"], now["behind"], now["failures"]) == (records[-1]["seq"], 0, 0)
        assert now["delivered_at"]

    async def test_one_that_hangs_up_in_between_loses_nothing(self, app, owner, tmp_path):
        await act(app, owner, 3000, first=100)
        async with receiver(tmp_path) as siem:
            siem.hang_up_after = 5
            await save(
                owner,
                kind="syslog",
                target=f"127.0.0.1:{siem.port}",
                ca_certificate=siem.ca,
                from_beginning=True,
            )
            await app.sequence()
            await push(app)
            now = await told(owner)
            assert (now["seq"], now["failures"]) == (0, 1)
            assert now["last_error"]
            siem.hang_up_after = None
            await at_once(app, owner)
            await push(app)
        seqs = [json.loads(parsed(one)[1])["seq"] for one in siem.messages]
        assert seqs[:5] == seqs[5:10] == [1, 2, 3, 4, 5]
        assert sorted(set(seqs)) == await numbers(app, owner)
        assert (await told(owner))["behind"] == 0

    async def test_a_receiver_of_another_authority_gets_nothing(self, app, owner, tmp_path):
        async with receiver(tmp_path) as siem:
            await save(owner, kind="syslog", target=f"127.0.0.1:{siem.port}", from_beginning=True)
            await push(app)
            assert siem.messages == []
            assert "CERTIFICATE_VERIFY_FAILED" in (await told(owner))["last_error"]


@pytest.fixture
def webhook(app, monkeypatch):
    """What was posted; ``answers`` are given in turn, the last one for ever."""
    hook = SimpleNamespace(answers=[200], posted=[])

    async def request(method, url, *, headers, content, public_only, tenant_id, **_):
        hook.posted.append((url, headers, content))
        answer = hook.answers.pop(0) if len(hook.answers) > 1 else hook.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return HttpAnswer(url, answer, {}, b"")

    monkeypatch.setattr(app.platform.outbound, "request", request)
    return hook


class TestWebhook:
    async def test_is_signed_so_that_anybody_with_the_secret_can_tell(self, app, owner, webhook):
        secret = (await save(owner, **WEBHOOK, format="ecs"))["secret"]
        await app.sequence()
        await push(app)
        ((url, headers, content),) = webhook.posted
        assert url == WEBHOOK["target"]
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
        mac = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{mac}"
        seqs = [json.loads(line)["event"]["sequence"] for line in content.splitlines()]
        assert seqs == await numbers(app, owner)
        assert headers["webhook-id"] == f"{owner.tenant.id}.1-{seqs[-1]}"

    async def test_goes_to_a_real_listener_that_may_die_before_it_answers(self, app, owner):
        heard = []

        async def serve(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = re.findall(rb"content-length: (\d+)", head.lower())
            heard.append(await reader.readexactly(int(length)))
            if len(heard) == 1:
                writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await save(owner, **{**WEBHOOK, "target": f"http://127.0.0.1:{port}/audit"})
            await push(app)
            assert (await told(owner))["failures"] == 1
            await at_once(app, owner)
            await push(app)
        assert heard[0] == heard[1]
        seqs = [json.loads(line)["seq"] for content in heard[1:] for line in content.splitlines()]
        assert seqs == await numbers(app, owner)
        assert (await told(owner))["behind"] == 0

    async def test_what_is_not_taken_is_sent_again_under_the_same_id(self, app, owner, webhook):
        webhook.answers = [503, UnreachableError("timed out"), 200]
        await save(owner, **WEBHOOK)
        for failures, error in ((1, "It answered 503"), (2, "timed out"), (0, None)):
            await push(app)
            now = await told(owner)
            assert (now["failures"], now["last_error"]) == (failures, error)
            assert await push(app) == 0 or not failures  # it waits its turn
            await at_once(app, owner)
        ids = [headers["webhook-id"] for _, headers, _ in webhook.posted]
        assert ids[0] == ids[1] == ids[2]
        assert webhook.posted[0][2] == webhook.posted[1][2] == webhook.posted[2][2]

    async def test_one_killed_after_sending_sends_again(self, app, owner, webhook, monkeypatch):
        async def die(*_):
            raise SystemError("killed")

        await save(owner, **WEBHOOK)
        with monkeypatch.context() as patched:
            patched.setattr(_push, "_advance", die)
            await push(app)
        assert (await told(owner))["seq"] == 0
        await push(app)
        assert len(webhook.posted) == 1  # its lease still holds
        await at_once(app, owner)
        await push(app)
        assert webhook.posted[0][2] == webhook.posted[1][2]
        assert (await told(owner))["behind"] == 0

    async def test_a_change_meanwhile_leaves_the_last_word_to_who_made_it(
        self, app, owner, webhook, monkeypatch
    ):
        await save(owner, **WEBHOOK)
        send = app.platform.outbound.request

        async def change_meanwhile(*args, **more):
            await save(owner, **WEBHOOK, paused=True)
            return await send(*args, **more)

        monkeypatch.setattr(app.platform.outbound, "request", change_meanwhile)
        await push(app)
        now = await told(owner)
        assert (now["seq"], now["paused"]) == (0, True)
        await app.sequence()
        assert await push(app) == 0

    async def test_waits_double_up_to_five_minutes(self, app, owner, webhook):
        webhook.answers = [500]
        await save(owner, **WEBHOOK)
        waits = []
        for _ in range(11):
            await at_once(app, owner)
            before = app.platform.database.clock()
            await push(app)
            async with app.platform.database.read(Scope("test", owner.tenant.id)) as tx:
                (row,) = await tx.scalars(sa.select(StreamRow))
            waits.append((row.next_try_at - before).total_seconds())
        assert 0.5 < waits[0] < 3
        assert 2.5 < waits[2] < 7
        assert 200 < waits[-1] < 370

    async def test_three_failures_and_their_end_are_told(self, app, owner, webhook):
        webhook.answers = [500, 500, 500, 500, 200]
        await save(owner, **WEBHOOK)
        for _ in range(5):
            await at_once(app, owner)
            await push(app)
        async with app.platform.database.read(Scope("test", owner.tenant.id)) as tx:
            kinds = await tx.scalars(
                sa.select(EventRecord.kind)
                .where(EventRecord.subject == f"tenant:{owner.tenant.id}")
                .order_by(EventRecord.id)
            )
        told_of = [kind for kind in kinds if kind.startswith("audit_stream")]
        assert told_of == ["audit_stream.saved", "audit_stream.failing", "audit_stream.resumed"]

    async def test_a_long_trail_goes_in_batches(self, app, owner, webhook):
        await act(app, owner, 450, first=100)
        await save(owner, **WEBHOOK)
        await push(app)
        assert [content.count(b"\n") for _, _, content in webhook.posted][:2] == [200, 200]
        assert (await told(owner))["behind"] == 0


class TestSetUp:
    async def test_begins_with_what_comes_unless_asked(self, app, owner, webhook):
        body = {**WEBHOOK, "from_beginning": False}
        await save(owner, **body)
        await app.sequence()
        await act(app, owner, 2, first=50)
        await push(app)
        ((_, _, content),) = webhook.posted
        actions = [json.loads(line)["target"] for line in content.splitlines()]
        assert actions[-2:] == ["thing:50", "thing:51"]
        assert "thing:0" not in actions

    async def test_the_secret_is_shown_once_and_kept_sealed(self, app, owner):
        first = await save(owner, **WEBHOOK)
        assert first["secret"].startswith("whsec_")
        assert (await save(owner, **WEBHOOK))["secret"] is None
        assert "secret" not in await told(owner)
        async with app.platform.database.read(Scope("test", owner.tenant.id)) as tx:
            (row,) = await tx.scalars(sa.select(StreamRow))
        assert base64.b64decode(first["secret"].removeprefix("whsec_")) not in row.sealed_secret
        assert first["secret"] not in json.dumps(
            [one.data for one in await owner.audit(app.platform)]
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"target": "ftp://siem.example.com/"},
            {"target": "https://user:pw@siem.example.com/"},
            {"target": "https://[::1"},
            {"target": "siem"},
            {"ca_certificate": "x"},
            {"kind": "syslog", "target": "siem.example.com:99999"},
            {"kind": "syslog", "target": "siem.example.com:0"},
            {"kind": "syslog", "target": "siem.example.com/x"},
            {"kind": "syslog", "target": "siem.example.com", "ca_certificate": "no PEM"},
        ],
    )
    async def test_refuses_what_is_no_target(self, owner, change):
        answer = await owner.http.put(PATH, json={**WEBHOOK, **change})
        assert (answer.status_code, answer.json()["code"]) == (422, "audit.stream_invalid")

    async def test_is_ended_and_is_another_tenants_to_nobody(self, app, owner):
        await save(owner, **WEBHOOK)
        other = await app.caller()
        for caller, method in ((other, "GET"), (other, "DELETE")):
            answer = await caller.http.request(method, PATH)
            assert (answer.status_code, answer.json()["code"]) == (404, "audit.stream_not_found")
        assert (await owner.http.delete(PATH)).status_code == 204
        assert (await owner.http.get(PATH)).status_code == 404
        operator = await app.caller("operator", owner.tenant)
        assert (await operator.http.put(PATH, json=WEBHOOK)).status_code == 403

    async def test_a_private_address_is_refused_unless_the_platform_allows_it(
        self, app, owner, monkeypatch, tmp_path
    ):
        streams = app.platform.of(AuditManager).streams
        monkeypatch.setattr(streams, "_settings", AuditSettings())
        plain = {**WEBHOOK, "target": "http://siem.example.com/"}
        assert (await owner.http.put(PATH, json=plain)).status_code == 422
        async with receiver(tmp_path) as siem:
            target = f"127.0.0.1:{siem.port}"
            await save(
                owner, kind="syslog", target=target, ca_certificate=siem.ca, from_beginning=True
            )
            await push(app)
            assert siem.messages == []
        assert "not on the public Internet" in (await told(owner))["last_error"]


class TestWatch:
    async def test_says_how_far_all_streams_are_behind_and_which_fail(self, app, owner, webhook):
        trail, database = app.platform.of(AuditManager), app.platform.database

        async def look():
            async with database.read(SystemScope(WATCH_STREAMS)) as tx:
                return (await trail.count_behind(tx))[""], await trail.check_streams(tx)

        assert await look() == (0, "0 set up")
        webhook.answers = [500, 500, 500, 200]
        await save(owner, **WEBHOOK)
        behind, said = await look()
        assert (behind > 6, said) == (True, "1 set up")
        for _ in range(3):
            await at_once(app, owner)
            await push(app)
        with pytest.raises(StreamsFailingError, match="1 of 1 fail"):
            await look()
        await at_once(app, owner)
        await push(app)
        assert (await look())[1] == "1 set up"
