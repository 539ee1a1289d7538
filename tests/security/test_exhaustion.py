"""One caller within their rate must not take the time, memory or disk of all the others."""

import asyncio
import base64
import json
import threading
from typing import ClassVar

import pytest
import sqlalchemy as sa

from backend.core.audit import sequence
from backend.core.context import Scope
from backend.core.database import ReadTx
from backend.http import body, large
from backend.kit.limiter import GcraLimiter
from backend.kit.templating import Purse, TemplateInvalidError, TemplateSource, render
from backend.managers.email import EmailManager
from backend.managers.email._values import Draft
from backend.managers.identity import IdentitySettings
from backend.managers.identity._failures import FailureLimits
from tests.support.own_work import own_work

pytestmark = pytest.mark.attack

# A second of work each, within the bounds of one part.
COSTLY = (
    "{% for i in v %}{% for j in w %}"
    "{% if (i**3*7//3%11)+1 > 2 %}{% endif %}"
    "{% endfor %}{% endfor %}"
)
VARIABLES = {"v": list(range(900)), "w": list(range(40))}


def threads_of_work(app, monkeypatch) -> set[int]:
    """The threads in which messages are prepared, known once they have been."""
    seen: set[int] = set()
    prepare = app.platform.of(EmailManager)._prepare

    def noted(*arguments):
        seen.add(threading.get_ident())
        return prepare(*arguments)

    monkeypatch.setattr(app.platform.of(EmailManager), "_prepare", noted)
    return seen


def noting(seen: dict[str, int], function):
    """The function, which notes in which thread it ran."""

    def noted(*arguments):
        seen[function.__name__] = threading.get_ident()
        return function(*arguments)

    return noted


class TestTemplates:
    async def test_a_batch_has_one_purse(self, app, monkeypatch):
        """Five hundred messages of a second each would keep the process for eight minutes."""
        ada = await app.caller("operator")
        template = {"subject": "s", "text": COSTLY, "html": COSTLY}
        saved = await ada.http.put("/api/v1/email-templates/costly", json=template)
        assert saved.status_code == 200
        message = {"to": ["a@example.test"], "template": "costly", "variables": VARIABLES}
        threads = threads_of_work(app, monkeypatch)
        answer = await ada.http.post("/api/v1/emails/batch", json={"messages": [message] * 500})
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "email.template_invalid"
        # The work itself, of which there is a bounded amount, is done beside the event loop.
        assert threads
        assert threading.get_ident() not in threads

    async def test_an_empty_purse_ends_the_request_whatever_its_keys(self, app, monkeypatch):
        """The refusal of one message must not be what lets the next one render."""
        ada = await app.caller("operator")
        template = {"subject": "s", "text": COSTLY, "html": COSTLY}
        await ada.http.put("/api/v1/email-templates/costly", json=template)
        message = {"to": ["a@example.test"], "template": "costly", "variables": VARIABLES}
        rendered = []

        def noted(*arguments):
            rendered.append(1)
            return render(*arguments)

        monkeypatch.setattr("backend.managers.email.manager.render", noted)
        keyed = [{**message, "business_key": f"k{n}"} for n in range(100)]
        answer = await ada.http.post("/api/v1/emails/batch", json={"messages": keyed})
        assert (answer.status_code, answer.json()["code"]) == (422, "email.template_invalid")
        assert "together" in answer.json()["detail"]
        assert 1 <= len(rendered) < 20

    def test_new_templates_have_a_price(self):
        purse = Purse()
        part = "{{ a|upper }}" * 1500
        with pytest.raises(TemplateInvalidError, match="together"):
            for n in range(9):
                render(TemplateSource("s", f"{n}{part}"), {"a": "x"}, purse)

    def test_static_output_has_a_price(self):
        purse = Purse()
        template = TemplateSource("s", "x" * 200_000, "y" * 200_000)
        with pytest.raises(TemplateInvalidError, match="together"):
            for _ in range(500):
                render(template, {}, purse)

    def test_a_usual_batch_fits(self):
        purse = Purse()
        rows = "{% for row in rows %}<tr><td>{{ row.name|e }}</td></tr>{% endfor %}"
        template = TemplateSource("Hello {{ name }}", "Dear {{ name }}" * 20, "<p>" + rows)
        variables = {"name": "Ada", "rows": [{"name": f"row {n}"} for n in range(50)]}
        for _ in range(500):
            render(template, variables, purse)

    async def test_a_business_key_is_answered_before_its_content_is_judged(self, app):
        ada = await app.caller("operator")
        good = {"to": ["a@example.test"], "subject": "s", "text": "t", "business_key": "k"}
        first = (await ada.http.post("/api/v1/emails", json=good)).json()
        bad = {"to": ["a@example.test"], "template": "missing", "business_key": "k"}
        answer = await ada.http.post("/api/v1/emails", json=bad)
        assert (answer.status_code, answer.json()["id"]) == (200, first["id"])
        # Who is meant must be known: another person's message is no answer.
        answer = await ada.http.post("/api/v1/emails", json={**good, "to": ["no address"]})
        assert answer.json()["code"] == "email.invalid_address"
        answer = await ada.http.post("/api/v1/emails", json={**bad, "business_key": "new"})
        assert answer.status_code == 404


class TestRecipients:
    async def test_all_of_a_request_are_bounded(self, app):
        ada = await app.caller("operator")
        message = {"subject": "s", "text": "t"}
        messages = [
            {**message, "to": [f"a{n}-{m}@example.test" for n in range(100)]} for m in range(101)
        ]
        answer = await ada.http.post("/api/v1/emails/batch", json={"messages": messages})
        assert answer.json()["code"] == "email.too_many_recipients"

    async def test_odd_addresses_do_not_stop_the_others(self, app, monkeypatch):
        emails = app.platform.of(EmailManager)
        drafts = [
            Draft(to=[f"a@bücher{n}x{m}.example" for n in range(100)], subject="s", text="t")
            for m in range(20)
        ]
        threads = threads_of_work(app, monkeypatch)
        await emails.prepare_emails("t", drafts, {})
        assert threads
        assert threading.get_ident() not in threads


class TestBodies:
    """Large ones: each costs its own tenant time, and the event loop next to none."""

    MESSAGE: ClassVar = {"to": ["a@example.test"], "subject": "s", "text": "x" * 2**19}

    async def test_are_read_beside_the_event_loop(self, app, monkeypatch):
        ada = await app.caller("operator")
        seen: dict[str, int] = {}
        for module, name in ((large, "_read"), (body, "_holds_too_much")):
            monkeypatch.setattr(module, name, noting(seen, getattr(module, name)))
        octets = base64.b64encode(b"ab" * 2**20).decode()
        letter = {**self.MESSAGE, "attachments": [{"filename": "a", "content": octets}]}
        answer = await ada.http.post("/api/v1/emails/batch", json={"messages": [letter]})
        assert answer.status_code == 202, answer.text
        assert seen.keys() == {"_read", "_holds_too_much"}
        assert threading.get_ident() not in seen.values()
        (email,) = answer.json()["items"]
        content = await ada.http.get(f"/api/v1/emails/{email['id']}/content")
        assert [one["size_bytes"] for one in content.json()["attachments"]] == [2**21]

    @pytest.mark.parametrize(
        "broken",
        [
            {"to": "a@example.test"},
            {"unknown": 1},
            {"attachments": [{"filename": "a", "content": "a=aa"}]},
            {"attachments": [{"filename": "a", "content": 1}]},
            {"subject": "\x00"},
        ],
    )
    async def test_are_refused_as_small_ones_are(self, app, broken):
        ada = await app.caller("operator")
        answers = [
            (await ada.http.post("/api/v1/emails", json={**message, **broken})).json()
            for message in ({**self.MESSAGE, "text": "t"}, self.MESSAGE)
        ]
        small, big = ({**one, "request_id": ""} for one in answers)
        assert small == big
        assert small["status"] == 422

    @pytest.mark.parametrize("sent", [b"{", b"\xff", b"[" * 100_000])
    async def test_that_are_no_json_are_refused_as_small_ones_are(self, app, sent):
        ada = await app.caller("operator")
        head = {"Content-Type": "application/json"}
        small, big = [
            await ada.http.post("/api/v1/emails", content=padding + sent, headers=head)
            for padding in (b" ", b" " * 2**19)
        ]
        assert small.status_code == big.status_code == 400
        assert small.json()["code"] == big.json()["code"]

    @pytest.mark.parametrize(
        "sent",
        [
            b'{"a": 1, "b": 2, "a": 3}',
            b"[NaN, -Infinity, 1e400, -0, -0.0, 1E5, 0.1]",
            b"[12345678901234567890123, 123456789012345678]",
            b'"\\ud800 \\ud83d\\ude00 \\u00e9"',
            b"\xef\xbb\xbf{}",
            '{"a": "b"}'.encode("utf-16"),
            b"[" * 300 + b"]" * 300,
        ],
    )
    def test_are_parsed_as_small_ones_are(self, sent):
        assert repr(large._parse(sent)) == repr(json.loads(sent))

    async def test_base64_is_padded_at_its_end_only(self, app):
        ada = await app.caller("operator")
        one = base64.b64encode(b"x" * 196_607).decode()
        assert len(one) == 2**18
        assert one.endswith("=")
        letter = {**self.MESSAGE, "attachments": [{"filename": "a", "content": one * 2}]}
        assert (await ada.http.post("/api/v1/emails", json=letter)).status_code == 422

    async def test_a_string_without_an_end_is_read_once(self, app):
        """A search for strings that began again at each quotation mark would take days."""
        ada = await app.caller("operator")
        sent = b"," * 600_000 + b'"' + b'\\"' * 2_000_000
        head = {"Content-Type": "application/json"}
        answer = await ada.http.post("/api/v1/emails", content=sent, headers=head)
        assert answer.status_code == 413

    @pytest.mark.parametrize(
        ("sent", "too_much"),
        [
            (b'["' + b"," * 600_000 + b'"]', False),
            (b'["\\\\", "' + b'\\"' * 2**20 + b"," * 600_000 + b'"]', False),
            (b'["\\\\",' + b"1," * 600_000 + b"1]", True),
            (b'"a",' * 600_000, True),
            (b'"' + b"," * 600_000 + b"\\", False),
        ],
    )
    def test_values_are_counted_and_texts_are_not(self, sent, too_much):
        assert body._holds_too_much(sent) is too_much


class TestLimiters:
    async def test_a_key_is_short_whatever_a_stranger_calls_himself(self):
        limits = FailureLimits(IdentitySettings(), GcraLimiter())
        await limits.charge("192.0.2.1", "login:" + "x" * 1_000_000)
        assert max(len(key) for key in limits._account.fresh) < 100

    async def test_lists_of_large_things_stay_small(self, app):
        """A thousand templates of half a megabyte each would be one answer."""
        ada = await app.caller("operator")
        body = {"subject": "s", "text": "x" * 250_000, "html": "y" * 250_000}
        codes = []
        for n in range(60):
            answer = await ada.http.put(f"/api/v1/email-templates/t{n}", json=body)
            codes.append(answer.status_code)
            if answer.status_code != 200:
                assert answer.json()["code"] == "email.templates_too_large"
                break
        assert codes[-1] == 413, codes
        assert len((await ada.http.get("/api/v1/email-templates")).content) < 20 * 2**20
        # What is there can still be replaced, and removed to make room.
        replaced = {"subject": "s", "text": "short"}
        for _ in range(2):
            answer = await ada.http.put("/api/v1/email-templates/t0", json=replaced)
            assert answer.status_code == 200
        async with app.platform.database.read(Scope("t", ada.tenant.id)) as tx:
            found = await app.platform.of(EmailManager).templates.list(tx, limit=1000)
        assert len(found) == len(codes) - 1


class TestProbes:
    async def test_scrapes_share_one_look_at_the_database(self, app, monkeypatch):
        """Nobody authenticates for /metrics and no limit holds there."""
        looks = []
        read = app.platform.database.read

        def count(scope):
            # The watch of seals reads twice a second all by itself.
            if mine():
                looks.append(scope.errand.name)
            return read(scope)

        monkeypatch.setattr(app.platform.database, "read", count)
        http, seconds = app.client(), [1000.0]
        monkeypatch.setattr("backend.managers.monitoring.manager.monotonic", lambda: seconds[0])
        with own_work() as mine:
            await http.get("/metrics")
            one, looks[:] = sorted(looks), []
            # A count is good for a second; all of these scrapes happen within one.
            seconds[0] += 100
            answers = await asyncio.gather(*(http.get("/metrics") for _ in range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert sorted(looks) == one
        assert len(one) > 1


class TestSteps:
    """Long work goes in steps: between two of them the event loop, or the writer, is others'."""

    MOST_ROWS = 501

    async def test_reading_much_takes_few_rows_at_a_time(self, app, monkeypatch):
        ada = await app.caller("admin")
        scope = Scope("test", ada.tenant.id)
        file = "address\n" + "".join(f"{n}@example.test\n" for n in range(1300))
        csv = {"Content-Type": "text/csv"}
        imported = await ada.http.post("/api/v1/suppressions/import", content=file, headers=csv)
        assert imported.json() == {"added": 1300, "known": 0}
        async with app.platform.database.transaction(scope) as tx:
            for n in range(1300):
                tx.audit("test.done", f"test:{n}")
        while await sequence(app.platform.database):
            pass
        steps = []
        real = ReadTx.scalars

        async def noted(tx, *arguments):
            found = await real(tx, *arguments)
            steps.append(len(found))
            return found

        monkeypatch.setattr(ReadTx, "scalars", noted)
        exported = await ada.http.get("/api/v1/suppressions/export")
        assert len(exported.text.splitlines()) == 1301
        assert sum(steps) >= 1300
        steps_of_export = len(steps)
        verified = (await ada.http.post("/api/v1/audit/verify")).json()
        assert verified["valid"] is True
        assert verified["records"] > 1300
        assert len(steps) > steps_of_export + 2
        assert max(steps) <= self.MOST_ROWS

    async def test_writing_much_takes_few_rows_at_a_time(self, app):
        ada = await app.caller("admin")
        commits = []
        engine = app.platform.database.engine.sync_engine
        note = commits.append
        sa.event.listen(engine, "commit", note)
        file = "address\n" + "".join(f"{n}@example.test\n" for n in range(1300))
        csv = {"Content-Type": "text/csv"}
        await ada.http.post("/api/v1/suppressions/import", content=file, headers=csv)
        sa.event.remove(engine, "commit", note)
        # 500, 500 and 300 rows, each committed before the next begin.
        assert len(commits) >= 3
