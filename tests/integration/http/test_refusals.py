"""Whatever is refused is a problem, and nothing but the record of the denial is written."""

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.ids import uuid7
from backend.managers.email import EmailManager
from backend.managers.email.models import EmailRow
from backend.managers.gateway import RETENTION
from backend.managers.gateway.models import IdempotencyRecord
from tests.support.platform import App, TenantClient

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}


async def emails(app: App, caller: TenantClient) -> int:
    async with app.platform.database.read(Scope("test", caller.tenant.id)) as tx:
        return int(await tx.scalar(sa.select(sa.func.count()).select_from(EmailRow)))


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"/problems/{code}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    return body


class TestRefusals:
    async def test_no_token_and_a_wrong_token(self, app: App) -> None:
        async with app.client() as http:
            for headers in (
                {},
                {"Authorization": "Bearer nonsense"},
                {"Authorization": "Bearer " + "a" * 5000},
                {"X-API-Key": "es_live_nonsense"},
                {"Authorization": "Basic YTpi"},
            ):
                answer = await http.post("/api/v1/emails", json=EMAIL, headers=headers)
                problem(answer, 401, "unauthenticated")
                assert answer.headers["www-authenticate"].startswith("Bearer")
            tampered = (await app.caller()).http.headers["Authorization"][:-6] + "AAAAAA"
            answer = await http.get("/api/v1/me", headers={"Authorization": tampered})
            problem(answer, 401, "unauthenticated")

    async def test_a_missing_permission_is_named_and_audited(self, app: App, settled: Any) -> None:
        viewer = await app.caller("viewer")
        body = problem(await viewer.http.post("/api/v1/emails", json=EMAIL), 403, "forbidden")
        assert body["permission"] == "email:send"
        await settled()
        (denial,) = await viewer.audit(app.platform, "access.denied")
        assert denial.actor == denial.target == f"client:{viewer.client_id}"
        assert await emails(app, viewer) == 0

    async def test_another_tenants_object_does_not_exist(self, app: App) -> None:
        ada, eve = await app.caller(), await app.caller()
        made = (await ada.http.post("/api/v1/emails", json=EMAIL)).json()
        for path in (f"/api/v1/emails/{made['id']}", f"/api/v1/emails/{made['id']}/content"):
            problem(await eve.http.get(path), 404, "email.not_found")
        answer = await eve.http.get(f"/api/v1/jobs/{made['job_id']}")
        problem(answer, 404, "orchestrator.job_not_found")
        answer = await eve.http.post(f"/api/v1/jobs/{made['job_id']}/cancel")
        problem(answer, 404, "orchestrator.job_not_found")
        assert (await ada.http.get(f"/api/v1/emails/{made['id']}")).json()["state"] == "queued"
        assert (await eve.http.get("/api/v1/emails")).json()["items"] == []

    async def test_ids_that_do_not_exist_or_are_none(self, app: App) -> None:
        ada = await app.caller()
        problem(await ada.http.get(f"/api/v1/emails/{uuid7()}"), 404, "email.not_found")
        problem(await ada.http.get("/api/v1/emails/1"), 422, "invalid_input")
        problem(await ada.http.get("/nowhere"), 404, "not_found")
        problem(await ada.http.delete("/api/v1/emails"), 405, "method_not_allowed")

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"colour": "red"}, "/body/colour"),
            ({"to": "ada@example.test"}, "/body/to"),
            ({"to": []}, "/body"),
            ({"text": None}, "/body"),
            ({"subject": "x" * 999}, "/body/subject"),
            ({"attachments": [{"filename": "a", "content": "?"}]}, "/body/attachments/0/content"),
        ],
    )
    async def test_invalid_fields_are_pointed_at(
        self, app: App, change: dict[str, Any], pointer: str
    ) -> None:
        ada = await app.caller()
        answer = await ada.http.post("/api/v1/emails", json={**EMAIL, **change})
        body = problem(answer, 422, "invalid_input")
        assert pointer in [error["pointer"] for error in body["errors"]]
        assert await emails(app, ada) == 0

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"to": ["nobody"]}, "email.invalid_address"),
            ({"subject": "a\r\nBcc: eve@example.test"}, "email.invalid_header"),
            ({"headers": {"Bcc": "eve@example.test"}}, "email.invalid_header"),
            ({"to": [f"a{n}@example.test" for n in range(101)]}, "email.too_many_recipients"),
        ],
    )
    async def test_invalid_mail_is_refused_before_anything_is_written(
        self, app: App, change: dict[str, Any], code: str
    ) -> None:
        ada = await app.caller()
        problem(await ada.http.post("/api/v1/emails", json={**EMAIL, **change}), 422, code)
        batch = {"messages": [EMAIL, {**EMAIL, **change}]}
        problem(await ada.http.post("/api/v1/emails/batch", json=batch), 422, code)
        assert await emails(app, ada) == 0

    async def test_malformed_json(self, app: App) -> None:
        ada = await app.caller()
        for content in ('{"to": [', "", "\xff", '{"a": NaN'):
            answer = await ada.http.post(
                "/api/v1/emails", content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code in {400, 422}, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
        answer = await ada.http.post(
            "/api/v1/emails", content='{"to": [', headers={"Content-Type": "application/json"}
        )
        problem(answer, 400, "malformed_json")

    async def test_a_body_over_the_limit_whole_or_chunked(self, app: App) -> None:
        ada = await app.caller()

        async def chunks() -> Any:
            for _ in range(40):
                yield b"x" * 2**20

        big = b"x" * (33 * 2**20)
        for content in (big, chunks()):
            answer = await ada.http.post(
                "/api/v1/emails",
                content=content,
                headers={"Content-Type": "application/json", "Idempotency-Key": uuid7()},
            )
            problem(answer, 413, "too_large")
        small = await ada.http.post("/api/v1/clients", content=b"x" * (2**20 + 1))
        problem(small, 413, "too_large")
        assert await emails(app, ada) == 0

    async def test_a_bug_tells_nothing(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        ada = await app.caller()

        async def fail(*_: object, **__: object) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(app.platform.of(EmailManager), "list_emails", fail)
        answer = await ada.http.get("/api/v1/emails")
        body = problem(answer, 500, "internal")
        assert "secret" not in json.dumps(body)

    @pytest.mark.usefixtures("stopped")
    async def test_requests_are_limited_by_client(self, app: App) -> None:
        ada = await app.caller()
        answers = await asyncio.gather(*(ada.http.get("/livez") for _ in range(3)))
        assert all("ratelimit" not in answer.headers for answer in answers)
        answer = await ada.http.get("/api/v1/me")
        assert '"' in answer.headers["ratelimit-policy"]
        remaining = int(answer.headers["ratelimit"].split("r=")[1].split(";")[0])
        seen = [answer.status_code]
        for _ in range(remaining + 50):
            answer = await ada.http.get("/api/v1/nothing")
            seen.append(answer.status_code)
            if answer.status_code == 429:
                break
        problem(answer, 429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= 1


class TestIdempotency:
    async def test_a_retry_gets_the_first_answer_and_does_nothing(self, app: App) -> None:
        ada = await app.caller()
        headers = {"Idempotency-Key": "k-1"}
        first = await ada.http.post("/api/v1/emails", json=EMAIL, headers=headers)
        again = await ada.http.post("/api/v1/emails", json=EMAIL, headers=headers)
        assert first.status_code == again.status_code == 202
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert await emails(app, ada) == 1

    async def test_the_same_key_for_another_body_is_refused(self, app: App) -> None:
        ada = await app.caller()
        headers = {"Idempotency-Key": "k-1"}
        await ada.http.post("/api/v1/emails", json=EMAIL, headers=headers)
        other = {**EMAIL, "subject": "Other"}
        answer = await ada.http.post("/api/v1/emails", json=other, headers=headers)
        problem(answer, 422, "gateway.idempotency_key_reused")
        assert await emails(app, ada) == 1

    async def test_keys_of_two_clients_do_not_meet(self, app: App) -> None:
        ada = await app.caller()
        bob = await app.caller(tenant=ada.tenant)
        headers = {"Idempotency-Key": "k-1"}
        one = await ada.http.post("/api/v1/emails", json=EMAIL, headers=headers)
        two = await bob.http.post("/api/v1/emails", json=EMAIL, headers=headers)
        assert one.json()["id"] != two.json()["id"]

    async def test_concurrent_requests_with_one_key_act_once(self, app: App) -> None:
        ada = await app.caller()
        answers = await asyncio.gather(
            *(
                ada.http.post("/api/v1/emails", json=EMAIL, headers={"Idempotency-Key": "k-1"})
                for _ in range(8)
            )
        )
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert await emails(app, ada) == 1

    async def test_a_refused_request_does_not_use_its_key_up(self, app: App) -> None:
        ada = await app.caller()
        headers = {"Idempotency-Key": "k-1"}
        bad = await ada.http.post("/api/v1/emails", json={**EMAIL, "to": ["x"]}, headers=headers)
        problem(bad, 422, "email.invalid_address")
        good = await ada.http.post("/api/v1/emails", json=EMAIL, headers=headers)
        assert good.status_code == 202

    async def test_a_key_that_is_no_key(self, app: App) -> None:
        ada = await app.caller()
        for key in ("", " ", "a b", "x" * 256):
            answer = await ada.http.post(
                "/api/v1/emails", json=EMAIL, headers={"Idempotency-Key": key}
            )
            problem(answer, 400, "invalid_idempotency_key")

    async def test_stored_answers_are_sealed(self, app: App) -> None:
        ada = await app.caller()
        await ada.http.post(
            "/api/v1/emails",
            json={**EMAIL, "subject": "needle-in-answer"},
            headers={"Idempotency-Key": "k-1"},
        )
        async with app.platform.database.read(SystemScope(RETENTION)) as tx:
            (body,) = await tx.scalars(sa.select(IdempotencyRecord.sealed_body))
        assert b"needle-in-answer" not in bytes(body)
