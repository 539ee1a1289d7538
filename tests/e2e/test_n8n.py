"""The packed node in a real n8n against a running Email Sender: what a workflow builder sees.

Skipped, with the command to run, where `scripts/n8n/install.sh` has not installed n8n.
"""

import json
import re
import subprocess
import tarfile
import time
import uuid
from base64 import b64decode
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import ANY

import httpx
import pytest

from backend.managers.tracing import OTLP_PATH
from scripts.n8n.api import (
    DEMO_PATH,
    NODE_TYPE,
    NODE_VERSION,
    Credential,
    Execution,
    N8nApi,
    N8nError,
    connect,
    make_node,
    webhook_chain,
)
from scripts.n8n.server import Installation, N8nServer, pack_nodes
from tests.e2e.conftest import ROOT, free_port, numbered, until
from tests.support.chat_model import chat_model
from tests.support.sink import stored_copies
from tests.support.tls_front import tls_front

pytestmark = [pytest.mark.n8n, pytest.mark.slow, pytest.mark.timeout(1200)]

ADA = "ada@example.test"
SECRET = {"user": "mailer", "password": "canary-e2e"}
SEND = {
    "resource": "email",
    "operation": "send",
    "to": "={{ $json.body.to }}",
    "businessKey": "={{ $json.body.business_key ?? $execution.id }}",
    "subject": "={{ $json.body.subject }}",
    "text": "={{ $json.body.text }}",
}


def make_file(path: str, name: str) -> dict[str, Any]:
    """A node that makes a file of the note that the webhook was called with."""
    parameters = {
        "operation": "toText",
        "sourceProperty": "body.note",
        "options": {"fileName": name},
    }
    return make_node(path, "File", "n8n-nodes-base.convertToFile", 1.1, parameters)


@pytest.fixture
def auditor(platform, admin) -> Iterator[httpx.Client]:
    """Who may read the trail and nothing else."""
    asked = {"name": f"auditor {uuid.uuid4()}", "role": "auditor"}
    key = admin.post("/api/v1/api-keys", json=asked).raise_for_status().json()["key"]
    with httpx.Client(
        base_url=platform.api_url, headers={"Authorization": f"Bearer {key}"}, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def made_key(admin) -> dict[str, Any]:
    """A new API key that may do what a workflow needs."""
    asked = {"name": f"n8n {uuid.uuid4()}", "role": "workflow"}
    made: dict[str, Any] = admin.post("/api/v1/api-keys", json=asked).raise_for_status().json()
    return made


@pytest.fixture
def api_key(n8n, platform, made_key) -> Credential:
    return n8n.create_api_key_credential(platform.api_url, made_key["key"])


@pytest.fixture
def run(n8n, oauth2) -> Callable[..., tuple[httpx.Response, Execution]]:
    """Runs a workflow around one Email Sender node, under a webhook path of its own."""

    def run_once(
        parameters: dict[str, Any],
        body: dict[str, Any] | None = None,
        credential: Credential = oauth2,
        **settings: Any,
    ) -> tuple[httpx.Response, Execution]:
        path = f"test-{uuid.uuid4()}"
        nodes = webhook_chain(path, credential, parameters, **settings)
        workflow = n8n.ensure_workflow(path, nodes)
        return n8n.run_webhook(workflow, path, body or {})

    return run_once


def received(data_dir: Path, message_id: str) -> list[EmailMessage]:
    """What arrived at the mail server under this Message-ID, copy by copy."""
    mails = [
        message_from_bytes(copy, _class=EmailMessage, policy=default)
        for copy in stored_copies(data_dir)
    ]
    return [mail for mail in mails if mail["Message-ID"] == message_id]


def body_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).strip()


def message(**more: object) -> dict[str, Any]:
    return {"to": ADA, "subject": f"Hello {uuid.uuid4()}", "text": "Hi Ada", **more}


@pytest.fixture
def tracing_n8n(tmp_path, platform, made_key) -> Iterator[N8nApi]:
    """An n8n that sends its spans here, as docs/managers/tracing.md says."""
    try:
        installation = Installation.find()
    except N8nError as error:
        pytest.skip(str(error))
    server = N8nServer(
        tmp_path / "n8n",
        port=free_port(),
        broker_port=free_port(),
        package=pack_nodes(),
        installation=installation,
        settings={
            "N8N_OTEL_ENABLED": "true",
            "N8N_OTEL_EXPORTER_OTLP_ENDPOINT": platform.api_url,
            "N8N_OTEL_EXPORTER_OTLP_TRACING_PATH": OTLP_PATH,
            "N8N_OTEL_EXPORTER_OTLP_HEADERS": f"X-API-Key={made_key['key']}",
        },
    )
    with server, server.open_api() as api:
        yield api


class TestPackage:
    def test_can_be_read_by_everybody_even_if_packed_under_a_strict_umask(self):
        nodes = ROOT / "n8n-nodes"
        (nodes / "node_modules/.packed").unlink(missing_ok=True)
        (nodes / "README.md").chmod(0o600)
        subprocess.run([ROOT / "scripts/n8n/pack.sh"], umask=0o077, check=True, capture_output=True)
        with tarfile.open(pack_nodes()) as package:
            assert {member.mode for member in package if member.isfile()} == {0o644}


class TestCredentials:
    def test_accepts_a_client(self, n8n, oauth2):
        assert n8n.test_credential(oauth2)["status"] == "OK"

    def test_accepts_an_api_key(self, n8n, api_key):
        assert n8n.test_credential(api_key)["status"] == "OK"

    def test_refuses_a_wrong_secret(self, n8n, platform):
        wrong = n8n.create_oauth2_credential(
            platform.api_url, platform.client_id, "not the secret", name="wrong secret"
        )
        assert n8n.test_credential(wrong)["status"] == "Error"

    def test_refuses_a_revoked_api_key(self, n8n, api_key, made_key, admin):
        admin.delete(f"/api/v1/api-keys/{made_key['id']}").raise_for_status()
        assert n8n.test_credential(api_key)["status"] == "Error"

    def test_refuses_a_wrong_key(self, n8n, platform):
        wrong = n8n.create_api_key_credential(platform.api_url, "es_not_a_key", name="wrong key")
        outcome = n8n.test_credential(wrong)
        assert outcome["status"] == "Error"
        assert "Make a new key" in outcome["message"]

    @pytest.mark.parametrize("ending", ["/", "/api/v1", "/api/v1/"])
    def test_accepts_what_is_pasted_along_with_the_address(
        self, n8n, platform, made_key, run, ending
    ):
        url = platform.api_url + ending
        key = n8n.create_api_key_credential(url, made_key["key"], name="pasted key")
        client = n8n.create_oauth2_credential(
            url, platform.client_id, platform.client_secret, name="pasted client"
        )
        for credential in (key, client):
            assert n8n.test_credential(credential) == {"status": "OK", "message": ANY}
            _, execution = run(SEND, message(), credential=credential)
            assert execution.status == "success", execution.error

    def test_refuses_the_address_of_the_console(self, n8n, platform, made_key):
        url = f"http://127.0.0.1:{platform.port_base + 1}"
        key = n8n.create_api_key_credential(url, made_key["key"], name="console key")
        client = n8n.create_oauth2_credential(
            url, platform.client_id, platform.client_secret, name="console client"
        )
        for credential in (key, client):
            outcome = n8n.test_credential(credential)
            assert outcome["status"] == "Error"
            assert "not Email Sender's API" in outcome["message"]

    def test_refuses_a_viewer_who_could_not_send(self, n8n, platform, admin):
        asked = {"name": f"viewer {uuid.uuid4()}", "role": "viewer"}
        key = admin.post("/api/v1/api-keys", json=asked).raise_for_status().json()["key"]
        credential = n8n.create_api_key_credential(platform.api_url, key, name="viewer")
        outcome = n8n.test_credential(credential)
        assert outcome["status"] == "Error"
        assert "may not send e-mail" in outcome["message"]

    def test_trusts_a_private_authority_if_told_to(self, n8n, platform, run, tmp_path):
        with tls_front(platform.port_base, tmp_path) as front:
            data = {
                "baseUrl": front.url,
                "clientId": platform.client_id,
                "clientSecret": platform.client_secret,
            }
            strange = n8n.ensure_credential("strange", "emailSenderOAuth2Api", data)
            outcome = n8n.test_credential(strange)
            assert outcome["status"] == "Error"
            assert '"CA Certificate"' in outcome["message"]
            _, execution = run(SEND, message(), credential=strange)
            said = f"{execution.error['message']} {execution.error['description']}"
            assert '"CA Certificate"' in said

            data["caCertificate"] = front.ca_pem
            trusted = n8n.ensure_credential("trusted", "emailSenderOAuth2Api", data)
            assert n8n.test_credential(trusted)["status"] == "OK"
            _, execution = run(SEND, message(), credential=trusted)
            assert execution.status == "success", execution.error

    def test_of_another_client_use_no_token_of_the_first(self, n8n, platform, run, admin):
        first = n8n.create_oauth2_credential(
            platform.api_url, platform.client_id, platform.client_secret, name="changed"
        )
        assert run(SEND, message(), credential=first)[1].status == "success"
        asked = {"name": f"other {uuid.uuid4()}", "role": "workflow"}
        other = admin.post("/api/v1/clients", json=asked).raise_for_status().json()
        second = n8n.create_oauth2_credential(
            platform.api_url, other["client_id"], other["client_secret"], name="changed"
        )
        _, execution = run(SEND, message(), credential=second)
        assert execution.items("Email Sender")[0]["created_by"] == f"client:{other['client_id']}"


class TestEmail:
    def test_is_sent_and_delivered(self, run, platform):
        body = message()
        response, execution = run({**SEND, "options": {"waitSeconds": 60}}, body)

        assert execution.status == "success", execution.error
        [email] = execution.items("Email Sender")
        assert response.json() == [email]
        assert email["state"] == "accepted"
        assert email["to"] == [ADA]
        assert [recipient["state"] for recipient in email["recipients"]] == ["accepted"]
        [mail] = received(platform.data_dir, email["message_id"])
        assert mail["Subject"] == body["subject"]
        assert body_of(mail, "plain") == "Hi Ada"

    def test_that_bounces_is_a_result_not_an_error(self, run):
        address = f"bounce-{uuid.uuid4().hex}@example.test"
        _, execution = run({**SEND, "options": {"waitSeconds": 60}}, message(to=address))

        assert execution.status == "success", execution.error
        assert execution.items("Email Sender")[0]["state"] == "bounced"

    def test_is_on_record_as_the_clients_act(self, run, platform, admin):
        _, execution = run(SEND, message())
        [email] = execution.items("Email Sender")

        [record] = numbered(admin, f"email:{email['id']}")
        assert record["action"] == "email.submitted"
        assert record["actor"] == f"client:{platform.client_id}"
        assert record["target"] == f"email:{email['id']}"
        assert (record["execution"], bool(record["workflow"])) == (str(execution.id), True)
        query = {"execution": record["execution"], "workflow": record["workflow"]}
        same = admin.get("/api/v1/audit", params=query).raise_for_status().json()["items"]
        assert record["id"] in {one["id"] for one in same}
        verdict = admin.post("/api/v1/audit/verify").raise_for_status().json()
        assert verdict["valid"]
        assert verdict["head_seq"] >= record["seq"]

    def test_is_sent_with_an_api_key(self, run, api_key, made_key, admin):
        _, execution = run(SEND, message(), credential=api_key)

        assert execution.status == "success", execution.error
        [email] = execution.items("Email Sender")
        assert email["to"] == [ADA]
        [record] = numbered(admin, f"email:{email['id']}")
        assert record["actor"] == f"api_key:{made_key['id']}"

    def test_carries_everything_a_builder_gives(self, n8n, oauth2, platform):
        path = f"test-{uuid.uuid4()}"
        hook, sender, respond = webhook_chain(
            path,
            oauth2,
            {
                "resource": "email",
                "operation": "send",
                "to": '="Lovelace, Ada" <ada@example.test>, grace@example.test',
                "subject": "Everything",
                "text": "plain",
                "html": "<p>rich</p>",
                "attachments": "data",
                "options": {
                    "cc": "cc@example.test",
                    "bcc": "bcc@example.test",
                    "replyTo": "reply@example.test",
                    "waitSeconds": 60,
                    "headers": {"header": [{"name": "X-Campaign", "value": "spring"}]},
                },
            },
        )
        file = make_file(path, "note.txt")
        workflow = n8n.ensure_workflow(path, [hook, file, sender, respond])
        _, execution = n8n.run_webhook(workflow, path, {"note": "héllo"})

        assert execution.status == "success", execution.error
        [email] = execution.items("Email Sender")
        assert len(email["to"]) == 2
        assert (email["cc"], email["bcc"]) == (["cc@example.test"], ["bcc@example.test"])
        [mail] = received(platform.data_dir, email["message_id"])
        assert body_of(mail, "plain") == "plain"
        assert body_of(mail, "html") == "<p>rich</p>"
        assert mail["Reply-To"] == "reply@example.test"
        assert mail["X-Campaign"] == "spring"
        assert "bcc@example.test" not in f"{mail['To']} {mail['Cc']} {mail['Bcc']}"
        [attachment] = mail.iter_attachments()
        assert attachment.get_filename() == "note.txt"
        assert attachment.get_payload(decode=True) == "héllo".encode()

    def test_is_from_whom_and_shows_what_its_builder_says(self, n8n, oauth2, platform, admin):
        own = admin.get("/api/v1/email-settings").raise_for_status().json()["from_address"]
        path = f"test-{uuid.uuid4()}"
        lines = ("BEGIN:VCALENDAR", "VERSION:2.0", "METHOD:REQUEST", "END:VCALENDAR")
        hook, sender, respond = webhook_chain(
            path,
            oauth2,
            {
                "resource": "email",
                "operation": "send",
                "to": ADA,
                "subject": "You are invited",
                "html": '<img src="cid:logo">',
                "options": {
                    "from": f"Acme Events <{own}>",
                    "messageId": f"<{path}@acme.example>",
                    "replyTo": "a@example.test, b@example.test",
                    "sendAt": "={{ $now.plus({ seconds: 2 }) }}",
                    "inlineImages": {"image": [{"binaryField": "data", "contentId": "logo"}]},
                    "calendar": {"invitation": {"method": "REQUEST", "content": "\n".join(lines)}},
                    "waitSeconds": 60,
                },
            },
        )
        file = make_file(path, "logo.svg")
        workflow = n8n.ensure_workflow(path, [hook, file, sender, respond])
        _, execution = n8n.run_webhook(workflow, path, {"note": "<svg/>"})

        assert execution.status == "success", execution.error
        [email] = execution.items("Email Sender")
        assert email["state"] == "accepted"
        assert email["created_at"] < email["send_at"] <= email["accepted_at"]
        [mail] = received(platform.data_dir, f"<{path}@acme.example>")
        assert mail["From"] == f"Acme Events <{own}>"
        assert mail["Reply-To"] == "a@example.test, b@example.test"
        shown = {part["Content-ID"] for part in mail.walk() if part["Content-ID"]}
        assert shown == {"<logo>"}
        [invitation] = [p for p in mail.walk() if p.get_content_type() == "text/calendar"]
        assert invitation.get_param("method") == "REQUEST"

    def test_is_sent_once_per_business_key(self, n8n, oauth2):
        workflow = n8n.ensure_demo_workflow(oauth2)
        assert n8n.ensure_demo_workflow(oauth2) == workflow
        body = message(business_key=f"invoice-{uuid.uuid4()}")
        first, _ = n8n.run_webhook(workflow, DEMO_PATH, body)
        second, execution = n8n.run_webhook(workflow, DEMO_PATH, {**body, "text": "Hi again"})

        assert execution.status == "success", execution.error
        assert [email["id"] for email in second.json()] == [email["id"] for email in first.json()]
        assert second.json()[0]["business_key"] == body["business_key"]

    def test_is_sent_each_time_without_a_business_key(self, run):
        body = message()
        first, _ = run(SEND, body)
        second, _ = run(SEND, body)

        assert first.json()[0]["id"] != second.json()[0]["id"]

    def test_is_sent_in_every_turn_of_a_loop(self, n8n, oauth2, api):
        path = f"test-{uuid.uuid4()}"
        hook, sender, respond = webhook_chain(path, oauth2, {**SEND, "to": "={{ $json.to }}"})
        sender["parameters"] |= {"businessKey": "", "subject": path, "text": "the same"}
        split = make_node(
            path, "Split Out", "n8n-nodes-base.splitOut", 1, {"fieldToSplitOut": "body.people"}
        )
        loop = make_node(path, "Loop", "n8n-nodes-base.splitInBatches", 3, {"options": {}})
        workflow = n8n.ensure_workflow(
            path,
            [hook, split, loop, sender, respond],
            connect(
                ("Webhook", 0, "Split Out"),
                ("Split Out", 0, "Loop"),
                ("Loop", 0, "Respond"),
                ("Loop", 1, "Email Sender"),
                ("Email Sender", 0, "Loop"),
            ),
        )
        response, execution = n8n.run_webhook(workflow, path, {"people": [{"to": ADA}] * 3})

        assert execution.status == "success", execution.error
        ids = {email["id"] for email in response.json()}
        assert len(ids) == 3
        newest = api.get("/api/v1/emails", params={"recipient": ADA, "limit": 20}).json()["items"]
        assert {email["id"] for email in newest if email["subject"] == path} == ids

    def test_can_be_got_again(self, run):
        sent, _ = run(SEND, message())
        _, execution = run(
            {"resource": "email", "operation": "get", "emailId": sent.json()[0]["id"]}
        )

        assert execution.status == "success", execution.error
        [email] = execution.items("Email Sender")
        assert email["id"] == sent.json()[0]["id"]
        assert email["timeline"][0]["event"] == "queued"

    def test_is_got_by_its_business_key_and_listed_by_key_and_time(self, run):
        key = f"order/{uuid.uuid4()}"
        sent, _ = run(SEND, message(business_key=key))
        getting = {"resource": "email", "operation": "get", "getBy": "businessKey"}
        _, execution = run({**getting, "businessKey": "={{ $json.body.key }}"}, {"key": key})
        assert execution.status == "success", execution.error
        [email] = execution.items("Email Sender")
        assert email["id"] == sent.json()[0]["id"]
        assert email["timeline"][0]["event"] == "queued"

        _, execution = run({**getting, "businessKey": "nothing-has-this"})
        assert execution.status == "error"
        assert "Nothing has the business key" in execution.error["message"]

        listing = {"resource": "email", "operation": "list"}
        for bound, found in (("createdAfter", [email["id"]]), ("createdBefore", [])):
            filters = {"businessKey": key, bound: "={{ $now.minus({ hours: 1 }) }}"}
            _, execution = run({**listing, "filters": filters})
            assert execution.status == "success", execution.error
            assert [one["id"] for one in execution.items("Email Sender")] == found

    def test_is_listed_page_by_page(self, run):
        recipient = f"{uuid.uuid4().hex}@example.test"
        sent = {run(SEND, message(to=recipient))[0].json()[0]["id"] for _ in range(3)}
        listing = {"resource": "email", "operation": "list", "filters": {"recipient": recipient}}
        _, everything = run({**listing, "returnAll": True})
        _, some = run({**listing, "limit": 2})

        assert {email["id"] for email in everything.items("Email Sender")} == sent
        assert len(some.items("Email Sender")) == 2


class TestTemplates:
    def offered(self, n8n, credential, method, **parameters):
        """What the editor would offer for a field of the node."""
        asked = {
            "nodeTypeAndVersion": {"name": NODE_TYPE, "version": NODE_VERSION},
            "path": "parameters.template",
            "methodName": method,
            "currentNodeParameters": {"authentication": "oAuth2", **parameters},
            "credentials": {credential.type: {"id": credential.id, "name": credential.name}},
        }
        found = n8n.call("POST", "/rest/dynamic-node-parameters/options", asked)["data"]
        return [option["value"] for option in found]

    def test_are_picked_from_a_list_with_their_variables(self, n8n, oauth2, admin, run):
        name = f"t-{uuid.uuid4().hex}"
        content = {"subject": "Order {{ order }}", "text": "Dear {{ name|upper }}"}
        admin.put(f"/api/v1/email-templates/{name}", json=content).raise_for_status()

        assert name in self.offered(n8n, oauth2, "getTemplates")
        variables = self.offered(n8n, oauth2, "getTemplateVariables", template=name)
        assert variables == ["order", "name"]

        given = [{"name": "order", "value": 7}, {"name": "name", "value": "Ada"}]
        parameters = {
            "resource": "email",
            "operation": "send",
            "to": ADA,
            "content": "template",
            "template": name,
            "variablesFrom": "fields",
            "variables": {"variable": given},
        }
        _, execution = run(parameters)
        assert execution.status == "success", execution.error
        assert execution.items("Email Sender")[0]["subject"] == "Order 7"


class TestBusinessKey:
    @pytest.mark.parametrize(
        "expression",
        [
            "={{ $json.body.order }}-shipped",
            "={{ $json.body.order + '-shipped' }}",
            "={{ $json.body.order }}",
            "={{ $json.body }}",
            "={{ $json.body.list }}",
            "={{ $json.body.list }}-shipped",
            "={{ $json.body.no }}",
        ],
    )
    def test_made_of_nothing_sends_nothing(self, run, expression, api):
        recipient = f"{uuid.uuid4().hex}@example.test"
        body = message(to=recipient, list=["x", "y"], no=False)
        _, execution = run({**SEND, "businessKey": expression}, body)

        assert execution.status == "error"
        assert '"Business Key"' in execution.error["message"]
        sent = api.get("/api/v1/emails", params={"recipient": recipient}).json()
        assert sent["items"] == []

    def test_of_a_number_is_used(self, run):
        number = uuid.uuid4().int
        _, execution = run({**SEND, "businessKey": "={{ $json.body.n }}-x"}, message(n=str(number)))
        assert execution.items("Email Sender")[0]["business_key"] == f"{number}-x"

    def test_of_another_mail_is_refused_unless_chosen(self, run):
        key = f"k-{uuid.uuid4()}"
        first, _ = run(SEND, message(business_key=key))
        other = message(business_key=key, to="grace@example.test")
        _, execution = run(SEND, other)
        assert execution.error["httpCode"] == "409"
        told = execution.error["context"]["data"]
        assert told["first_fingerprint"] != told["fingerprint"]

        chosen = {**SEND, "options": {"onKeyConflict": "return_first"}}
        second, execution = run(chosen, other)
        assert second.json()[0]["id"] == first.json()[0]["id"]
        assert second.json()[0]["deduplicated"] is True
        [hint] = execution.data["resultData"]["runData"]["Email Sender"][0]["hints"]
        assert "Nothing was sent" in hint["message"]


class TestTrace:
    WAY = ("workflow.execute", "node.execute", "POST /api/v1/emails", "job email.send", "smtp.send")

    def whole(self, admin: httpx.Client, trace_id: str) -> list[dict[str, Any]]:
        """The way down to the mail server, once both n8n and the worker have told their parts."""
        deadline = time.monotonic() + 300
        while True:
            answer = admin.get(f"/api/v1/traces/{trace_id}")
            spans = answer.json()["spans"] if answer.is_success else []
            way, by_id = [], {span["span_id"]: span for span in spans}
            span = next((one for one in spans if one["name"] == self.WAY[-1]), None)
            while span is not None:
                way.insert(0, span)
                span = by_id.get(span["parent_id"])
            if tuple(one["name"] for one in way) == self.WAY:
                return way
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.5)

    def test_is_one_from_the_workflow_to_the_mail_server(self, tracing_n8n, platform, admin):
        credential = tracing_n8n.create_oauth2_credential(
            platform.api_url, platform.client_id, platform.client_secret
        )
        path = f"test-{uuid.uuid4()}"
        workflow = tracing_n8n.ensure_workflow(path, webhook_chain(path, credential, SEND))
        # Executions of this n8n have the numbers of the other one's.
        called = message(business_key=path)
        _, execution = tracing_n8n.run_webhook(workflow, path, called)
        assert execution.status == "success", execution.error
        (email,) = execution.items("Email Sender")
        job = admin.get(f"/api/v1/jobs/{email['job_id']}").raise_for_status().json()
        root, node, request, attempt, smtp = self.whole(admin, job["trace_id"])
        assert root["parent_id"] == ""
        assert (root["service"], request["service"]) == ("n8n", "email-sender")
        assert root["attributes"]["n8n.execution.id"] == str(execution.id)
        assert node["attributes"]["n8n.node.name"] == "Email Sender"
        assert request["attributes"]["http.response.status_code"] == 202
        assert attempt["attributes"]["email_sender.job"] == email["job_id"]
        assert smtp["attributes"]["server.address"]
        assert smtp["attributes"]["smtp.response.status_code"] == 250
        assert ADA not in json.dumps([one["attributes"] for one in (request, attempt, smtp)])
        # And it is the only one of this run: nothing of it began a trace of its own.
        of_run = {"execution_id": str(execution.id), "workflow_id": workflow}
        found = admin.get("/api/v1/traces", params=of_run).raise_for_status().json()["items"]
        assert [one["trace_id"] for one in found] == [job["trace_id"]]

    def test_is_led_to_by_a_line_that_the_node_writes(self, tracing_n8n, platform, admin, made_key):
        credential = tracing_n8n.create_api_key_credential(platform.api_url, made_key["key"])
        path = f"test-{uuid.uuid4()}"
        write = {"resource": "log", "operation": "write", "message": "no stock", "level": "warn"}
        workflow = tracing_n8n.ensure_workflow(path, webhook_chain(path, credential, write))
        _, execution = tracing_n8n.run_webhook(workflow, path, {})
        assert execution.status == "success", execution.error
        of_run = {"execution_id": str(execution.id), "words": "stock"}
        (line,) = admin.get("/api/v1/logs", params=of_run).raise_for_status().json()["items"]
        deadline = time.monotonic() + 300
        while True:
            # First with the request alone; n8n tells its own part later, and names the execution.
            answer = admin.get(f"/api/v1/traces/{line['trace_id']}")
            if answer.is_success and answer.json()["trace"]["execution_id"] == str(execution.id):
                break
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.5)
        services = {span["service"] for span in answer.json()["spans"]}
        assert services == {"n8n", "email-sender"}


class TestManyEmails:
    def people(self, n8n, oauth2, addresses, *, more=None, **settings):
        """Runs a workflow that sends one e-mail to each, in one run of the node."""
        path = f"test-{uuid.uuid4()}"
        parameters = {**SEND, "to": "={{ $json.to }}", "businessKey": "", "subject": path}
        hook, sender, respond = webhook_chain(
            path, oauth2, {**parameters, "text": "the same", **(more or {})}, **settings
        )
        split = make_node(
            path, "Split Out", "n8n-nodes-base.splitOut", 1, {"fieldToSplitOut": "body.people"}
        )
        workflow = n8n.ensure_workflow(path, [hook, split, sender, respond])
        body = {"people": [{"to": address} for address in addresses]}
        _, execution = n8n.run_webhook(workflow, path, body)
        return path, execution

    def sent(self, api, subject):
        """To whom mail of this subject was accepted, oldest first."""
        newest = api.get("/api/v1/emails", params={"limit": 200}).json()["items"]
        return [email["to"][0] for email in newest[::-1] if email["subject"] == subject]

    def test_go_together_and_are_waited_for_together(self, n8n, oauth2, admin):
        addresses = [f"many-{n}@example.test" for n in range(30)]
        _, execution = self.people(n8n, oauth2, addresses, more={"options": {"waitSeconds": 60}})
        assert execution.status == "success", execution.error
        emails = execution.items("Email Sender")
        assert [email["to"][0] for email in emails] == addresses
        assert {email["state"] for email in emails} == {"accepted"}

    def test_go_on_after_a_bad_one_when_told_to(self, n8n, oauth2, api):
        addresses = ["a@example.test", "nobody", "b@example.test"]
        subject, execution = self.people(n8n, oauth2, addresses, onError="continueRegularOutput")
        assert execution.status == "success", execution.error
        first, bad, last = execution.items("Email Sender")
        assert (first["to"], last["to"]) == (["a@example.test"], ["b@example.test"])
        assert bad["details"]["code"] == "email.invalid_address"
        assert self.sent(api, subject) == ["a@example.test", "b@example.test"]

    def test_are_sent_once_by_retry_on_fail_with_a_changing_text(self, n8n, oauth2, api):
        addresses = ["a@example.test", "b@example.test", "nobody"]
        subject, execution = self.people(
            n8n,
            oauth2,
            addresses,
            more={"text": "={{ $now.toMillis() }} {{ Math.random() }}"},
            retryOnFail=True,
            maxTries=2,
            waitBetweenTries=1000,
        )
        # What is told is the fault of the third, and not that a key belongs to another request.
        assert execution.status == "error"
        assert execution.error["context"]["data"]["code"] == "email.invalid_address"
        assert self.sent(api, subject) == addresses[:2]

    def test_of_one_list_go_as_a_batch(self, run):
        messages = [
            {"to": f"{name}@example.test", "subject": name, "text": "Hi", "business_key": None}
            for name in ("a", "b", "c")
        ]
        parameters = {
            "resource": "email",
            "operation": "sendBatch",
            "messages": "={{ $json.body.messages }}",
        }
        _, execution = run(parameters, {"messages": messages})
        assert execution.status == "success", execution.error
        subjects = [email["subject"] for email in execution.items("Email Sender")]
        assert subjects == ["a", "b", "c"]

    def test_have_jobs_that_are_listed(self, run):
        run(SEND, message())
        listing = {"resource": "job", "operation": "list", "limit": 2}
        _, execution = run({**listing, "filters": {"kind": "email.send"}})
        assert [job["kind"] for job in execution.items("Email Sender")] == ["email.send"] * 2


class TestAgent:
    def ask(self, n8n, oauth2, model, **parameters):
        """Runs n8n's agent with Email Sender as its only tool."""
        path = f"agent-{uuid.uuid4()}"
        key = n8n.call(
            "POST",
            "/api/v1/credentials",
            {
                "name": path,
                "type": "openAiApi",
                "data": {"apiKey": "none", "url": model.url},
            },
        )
        hook, tool, respond = webhook_chain(path, oauth2, parameters)
        tool["type"] += "Tool"
        langchain = "@n8n/n8n-nodes-langchain"
        agent = make_node(
            path,
            "Agent",
            f"{langchain}.agent",
            3.1,
            {"promptType": "define", "text": "Tell Ada", "options": {}},
        )
        chat = make_node(
            path,
            "Chat Model",
            f"{langchain}.lmChatOpenAi",
            1.2,
            {"model": {"__rl": True, "mode": "id", "value": "some"}, "options": {}},
            credentials={"openAiApi": {"id": key["id"], "name": path}},
        )
        links = connect(("Webhook", 0, "Agent"), ("Agent", 0, "Respond"))
        for name, kind in ((chat["name"], "ai_languageModel"), (tool["name"], "ai_tool")):
            links[name] = {kind: [[{"node": "Agent", "type": kind, "index": 0}]]}
        workflow = n8n.ensure_workflow(path, [hook, agent, chat, tool, respond], links)
        return n8n.run_webhook(workflow, path, {})

    def test_that_asks_twice_sends_once(self, n8n, oauth2, api):
        subject = f"Once {uuid.uuid4()}"
        arguments = {"Text": "Hello"}
        with chat_model(arguments, arguments, "Told her.") as model:
            _, execution = self.ask(
                n8n,
                oauth2,
                model,
                resource="email",
                operation="send",
                to=ADA,
                subject=subject,
                text="={{ $fromAI('Text', 'what to say', 'string') }}",
            )
        assert execution.status == "success", execution.error
        assert len(model.requests) == 3, model.requests
        newest = api.get("/api/v1/emails", params={"recipient": ADA, "limit": 50}).json()["items"]
        assert [email["subject"] for email in newest].count(subject) == 1

    def test_is_told_what_was_wrong(self, n8n, oauth2):
        with chat_model({"To": "nobody"}, "I could not.") as model:
            self.ask(
                n8n,
                oauth2,
                model,
                resource="email",
                operation="send",
                to="={{ $fromAI('To', 'the address', 'string') }}",
                subject="Hello",
                text="Hi",
            )
        assert "nobody" in model.heard()


class TestList:
    def test_with_a_filter_that_comes_out_empty_lists_nothing(self, run):
        for recipient in ("={{ $json.body.missing }}", "={{ $json.body.missing }}@example.test"):
            listing = {"resource": "email", "operation": "list"}
            _, execution = run({**listing, "filters": {"recipient": recipient}}, message())
            assert execution.status == "error"
            assert '"Recipient"' in execution.error["message"]


class TestJob:
    def test_can_be_got(self, run):
        sent, _ = run(SEND, message())
        email = sent.json()[0]
        _, execution = run({"resource": "job", "operation": "get", "jobId": email["job_id"]})

        assert execution.status == "success", execution.error
        [job] = execution.items("Email Sender")
        assert (job["id"], job["subject"]) == (email["job_id"], f"email:{email['id']}")

    def test_can_be_cancelled_and_retried(self, run, api, admin, platform):
        sent, _ = run(SEND, message(to=f"defer-{uuid.uuid4().hex}@example.test"))
        job_id = sent.json()[0]["job_id"]
        _, execution = run({"resource": "job", "operation": "cancel", "jobId": job_id})

        assert execution.status == "success", execution.error
        [job] = execution.items("Email Sender")
        assert job["id"] == job_id
        # A job that is being tried at this moment is only asked to stop.
        deadline = time.monotonic() + 300
        while job["state"] != "cancelled":
            assert job["state"] == "running"
            assert time.monotonic() < deadline
            time.sleep(0.2)
            job = api.get(f"/api/v1/jobs/{job_id}").raise_for_status().json()
        tried = job["attempt"]

        _, execution = run({"resource": "job", "operation": "retry", "jobId": job_id})

        assert execution.status == "success", execution.error
        [job] = execution.items("Email Sender")
        assert (job["id"], job["state"], job["attempt"]) == (job_id, "ready", tried)
        acts = [(record["action"], record["actor"]) for record in numbered(admin, f"job:{job_id}")]
        client = f"client:{platform.client_id}"
        assert acts == [("job.cancelled", client), ("job.retried", client)]

    def test_those_that_gave_up_are_retried_together(self, run, api):
        address = f"bounce-{uuid.uuid4().hex}@example.test"
        sent = [
            run({**SEND, "options": {"waitSeconds": 60}}, message(to=address))[0].json()[0]
            for _ in range(2)
        ]
        filters = {"kind": "email.send", "createdAfter": sent[0]["created_at"]}
        _, execution = run({"resource": "job", "operation": "retryMany", "filters": filters})

        assert execution.status == "success", execution.error
        assert execution.items("Email Sender") == [{"retried": 2, "refused": 0}]
        for email in sent:
            job = api.get(f"/api/v1/jobs/{email['job_id']}").raise_for_status().json()
            assert job["max_attempts"] > 1
            assert job["state"] != "dead" or job["attempt"] == 2

    def test_that_has_ended_cannot_be_cancelled(self, run):
        sent, _ = run({**SEND, "options": {"waitSeconds": 60}}, message())
        job_id = sent.json()[0]["job_id"]
        _, execution = run({"resource": "job", "operation": "cancel", "jobId": job_id})

        assert execution.status == "error"
        assert execution.error["httpCode"] == "409"
        assert "Code: orchestrator.job_not_cancellable" in execution.error["description"]


class TestCustomApiCall:
    def test_reaches_the_rest_of_the_api(self, run):
        _, execution = run({"resource": "customApiCall", "operation": "call", "path": "me"})

        assert execution.status == "success", execution.error
        [me] = execution.items("Email Sender")
        assert me["kind"] == "client"
        assert "email:send" in me["permissions"]

    def test_follows_a_list_and_splits_it(self, run):
        recipient = f"{uuid.uuid4().hex}@example.test"
        sent = {run(SEND, message(to=recipient))[0].json()[0]["id"] for _ in range(3)}
        parameters = {
            "resource": "customApiCall",
            "operation": "call",
            "path": "emails/",
            "query": f'{{"limit": 1, "recipient": "{recipient}"}}',
            "options": {"allPages": True, "splitIntoItems": True},
        }
        _, execution = run(parameters)
        assert execution.status == "success", execution.error
        assert {email["id"] for email in execution.items("Email Sender")} == sent


class TestFailure:
    def test_shows_the_problem_in_the_execution(self, run):
        missing = str(uuid.uuid4())
        response, execution = run({"resource": "email", "operation": "get", "emailId": missing})

        assert response.status_code == 500
        assert execution.status == "error"
        assert execution.error["name"] == "NodeApiError"
        assert execution.error["httpCode"] == "404"
        problem = execution.error["context"]["data"]
        assert execution.error["message"] == problem["title"]
        assert f"Code: {problem['code']}" in execution.error["description"]
        assert f"Request: {problem['request_id']}" in execution.error["description"]

    def test_names_the_address_that_was_refused(self, run):
        _, execution = run(SEND, message(to="nobody"))

        assert execution.status == "error"
        assert execution.error["httpCode"] == "422"
        assert "nobody" in execution.error["description"]

    def test_points_at_the_field_that_was_refused(self, run):
        _, execution = run(SEND, message(subject="x" * 999))

        assert execution.status == "error"
        assert "/subject: " in execution.error["description"]

    def test_lets_the_workflow_go_on_when_told_to(self, run):
        missing = str(uuid.uuid4())
        response, execution = run(
            {"resource": "email", "operation": "get", "emailId": missing},
            onError="continueRegularOutput",
        )

        assert execution.status == "success", execution.error
        [item] = response.json()
        assert item["details"]["status"] == 404
        assert item["details"]["code"]
        assert item["error"]

    def test_tells_a_revoked_key(self, run, n8n, platform):
        wrong = n8n.create_api_key_credential(platform.api_url, "es_gone", name="gone")
        _, execution = run(SEND, message(), credential=wrong)

        assert execution.status == "error"
        assert execution.error["httpCode"] == "401"
        assert "Code: unauthenticated" in execution.error["description"]


def node(path: str, name: str, credential: Credential, /, **parameters: Any) -> dict[str, Any]:
    """An Email Sender node that goes on when it is refused."""
    return make_node(
        path,
        name,
        NODE_TYPE,
        NODE_VERSION,
        {"authentication": "oAuth2", **parameters},
        credentials={credential.type: {"id": credential.id, "name": credential.name}},
        onError="continueRegularOutput",
    )


class TestCrypto:
    """Keys of the platform, used by a workflow that never holds one."""

    @pytest.fixture
    def keys(self, admin) -> dict[str, str]:
        """A key of each kind, by its type."""
        made = {}
        for kind in ("aes256-gcm", "hmac-sha256", "ed25519", "ecdsa-p256"):
            name = f"e2e-{kind}-{uuid.uuid4().hex[:8]}"
            body = {"name": name, "type": kind}
            made[kind] = admin.post("/api/v1/keys", json=body).raise_for_status().json()["name"]
        return made

    def people(self, path: str) -> dict[str, Any]:
        """A node that makes an item of each text in the webhook's list."""
        split = {"fieldToSplitOut": "body.texts", "options": {"destinationFieldName": "text"}}
        return make_node(path, "Split", "n8n-nodes-base.splitOut", 1, split)

    def test_opens_what_it_encrypted_many_at_once(self, n8n, oauth2, keys, admin):
        path = f"test-{uuid.uuid4()}"
        key = {"resource": "crypto", "name": keys["aes256-gcm"]}
        place = "={{ 'orders/' + $('Split').item.json.text }}"
        hook, seal, respond = webhook_chain(
            path,
            oauth2,
            {**key, "operation": "encrypt", "plaintext": "={{ $json.text }}", "context": place},
        )
        wrapped = "={{ $json.ciphertext }}"
        opened = node(
            path, "Open", oauth2, **key, operation="decrypt", ciphertext=wrapped, context=place
        )
        # Of another row: none of them opens there, but for the one that is not moved.
        moved = node(
            path,
            "Moved",
            oauth2,
            **key,
            operation="decrypt",
            ciphertext="={{ $('Email Sender').item.json.ciphertext }}",
            context="orders/Grüße",
        )
        nodes = [hook, self.people(path), seal, opened, moved, respond]
        workflow = n8n.ensure_workflow(path, nodes)
        texts = ["Grüße", "two", "three"]
        _, execution = n8n.run_webhook(workflow, path, {"texts": texts})

        assert execution.status == "success", execution.error
        sealed = [item["ciphertext"] for item in execution.items("Email Sender")]
        assert all(one.startswith("es1:") for one in sealed)
        assert [item["plaintext"] for item in execution.items("Open")] == texts
        first, *others = execution.items("Moved")
        assert first["plaintext"] == texts[0]
        assert [item["details"]["code"] for item in others] == ["security.seal_broken"] * 2

        found = admin.get(f"/api/v1/keys/{key['name']}").raise_for_status().json()
        records = [
            (one["action"], one["data"]["count"], one["data"]["failed"])
            for one in numbered(admin, f"key:{found['id']}")
            if "count" in one["data"]
        ]
        # One request, and one record, for all items of a node.
        assert [(count, failed) for _, count, failed in records] == [(3, 0), (3, 0), (3, 2)]

    @pytest.mark.parametrize(
        ("kind", "operation"),
        [("hmac-sha256", "hmac"), ("ed25519", "sign"), ("ecdsa-p256", "sign")],
    )
    def test_verifies_what_it_signed(self, n8n, oauth2, keys, kind, operation):
        path = f"test-{uuid.uuid4()}"
        key = {"resource": "crypto", "name": keys[kind], "encoding": "text"}
        message = "={{ $('Webhook').item.json.body.text }}"
        hook, signed, respond = webhook_chain(
            path, oauth2, {**key, "operation": operation, "message": message}
        )
        field = "hmac" if operation == "hmac" else "signature"
        signature = f"={{{{ $('Email Sender').item.json.{field} }}}}"
        verify = {**key, "operation": "verify", "signature": signature}
        right = node(path, "Right", oauth2, **verify, message=message)
        wrong = node(path, "Wrong", oauth2, **verify, message="another")
        workflow = n8n.ensure_workflow(path, [hook, signed, right, wrong, respond])
        _, execution = n8n.run_webhook(workflow, path, {"text": "Grüße"})
        assert execution.status == "success", execution.error
        assert execution.items("Right")[0]["valid"] is True
        assert execution.items("Wrong")[0]["valid"] is False

    def test_draws_as_many_random_bytes(self, run):
        _, execution = run({"resource": "crypto", "operation": "random", "sizeBytes": 48})
        assert execution.status == "success", execution.error
        assert len(b64decode(execution.items("Email Sender")[0]["random"])) == 48

    def test_says_that_a_key_is_of_another_kind(self, run, keys):
        encrypt = {"resource": "crypto", "operation": "encrypt", "plaintext": "x"}
        _, execution = run({**encrypt, "name": keys["ed25519"]})
        assert execution.status == "error"
        assert "Code: security.key_type_mismatch" in execution.error["description"]


class TestSecrets:
    """A secret is given to one execution, once, and the trail says which."""

    def test_is_given_once_to_the_execution_that_its_token_is_for(
        self, n8n, oauth2, admin, auditor
    ):
        path = f"test-{uuid.uuid4()}"
        written = {"path": f"e2e/{path}", "environment": "production", "value": SECRET}
        made = admin.post("/api/v1/secrets", json=written).raise_for_status().json()
        where = {"path": written["path"], "environment": "production"}
        once = {"operation": "getOnce", "token": "={{ $('Token').item.json.token }}"}
        hook, first, respond = webhook_chain(path, oauth2, {"resource": "secret", **once})
        token = node(path, "Token", oauth2, resource="secret", operation="issueToken", **where)
        again = node(path, "Again", oauth2, resource="secret", **once)
        workflow = n8n.ensure_workflow(path, [hook, token, first, again, respond])
        _, execution = n8n.run_webhook(workflow, path, {})

        assert execution.status == "success", execution.error
        [given] = execution.items("Email Sender")
        assert (given["value"], given["version"]) == (SECRET, 1)
        [refused] = execution.items("Again")
        assert "cannot be used any more" in json.dumps(refused)

        records = numbered(auditor, f"secret:{made['secret_id']}")
        [read] = [one for one in records if one["action"] == "secret.redeemed"]
        assert read["data"]["workflow_id"] == workflow
        assert read["data"]["execution_id"] == str(execution.id)
        assert (read["data"]["version"], read["data"]["path"]) == (1, written["path"])
        assert "canary-e2e" not in json.dumps(records)
        # Found by the execution as well, by who may read the trail and nothing else.
        asked = {"q": str(execution.id), "created_after": read["at"]}
        found = auditor.get("/api/v1/audit", params=asked).raise_for_status().json()["items"]
        assert read["id"] in {one["id"] for one in found}
        assert auditor.get("/api/v1/secrets").status_code == 403

        # Another execution has what the first one's data shows, and is given nothing for it.
        [issued] = execution.items("Token")
        other = f"{path}-other"
        hook, thief, respond = webhook_chain(
            other,
            oauth2,
            {"resource": "secret", **once, "token": "={{ $json.body.token }}"},
        )
        stealing = n8n.ensure_workflow(other, [hook, thief, respond])
        _, execution = n8n.run_webhook(stealing, other, {"token": issued["token"]})
        assert execution.error["httpCode"] == "403"
        refusals = numbered(auditor, f"secret_token:{issued['id']}")
        assert [one["data"].get("why") for one in refusals] == [
            None,
            "secrets.token_spent",
            "secrets.token_foreign",
        ]
        assert refusals[-1]["data"]["execution_id"] == str(execution.id)

    def test_is_set_and_read_by_path(self, n8n, oauth2):
        path = f"test-{uuid.uuid4()}"
        where = {"path": f"e2e/{path}", "environment": "default"}
        hook, setter, respond = webhook_chain(
            path,
            oauth2,
            {
                "resource": "secret",
                "operation": "set",
                **where,
                "value": "={{ $json.body.value }}",
                "options": {"cas": 0},
            },
        )
        getter = node(path, "Get", oauth2, resource="secret", operation="get", **where)
        workflow = n8n.ensure_workflow(path, [hook, setter, getter, respond])
        _, execution = n8n.run_webhook(workflow, path, {"value": SECRET})
        assert execution.status == "success", execution.error
        assert "value" not in execution.items("Email Sender")[0]
        assert execution.items("Get")[0]["value"] == SECRET

    def test_is_kept_nowhere_by_a_workflow_that_saves_nothing(self, n8n, oauth2, admin, stored):
        """As the docs tell: a token outside, the value in a sub-workflow that saves nothing."""
        path, canary = f"test-{uuid.uuid4()}", f"canary-{uuid.uuid4().hex}"
        where = {"path": f"e2e/{path}", "environment": "default"}
        body = {**where, "value": {"password": canary}}
        admin.post("/api/v1/secrets", json=body).raise_for_status()
        inner = f"{path}-inner"
        trigger = "n8n-nodes-base.executeWorkflowTrigger"
        inside = n8n.ensure_workflow(
            inner,
            [
                make_node(inner, "Start", trigger, 1.1, {"inputSource": "passthrough"}),
                node(
                    inner,
                    "Once",
                    oauth2,
                    resource="secret",
                    operation="getOnce",
                    token="={{ $json.token }}",
                ),
                make_node(
                    inner,
                    "Use",
                    "n8n-nodes-base.set",
                    3.4,
                    {
                        "mode": "raw",
                        "jsonOutput": "={{ { letters: $json.value.password.length } }}",
                        "options": {},
                    },
                ),
            ],
            settings={
                "saveDataSuccessExecution": "none",
                "saveDataErrorExecution": "none",
                "saveManualExecutions": False,
                "saveExecutionProgress": False,
                "callerPolicy": "any",
            },
        )
        call = {"workflowId": {"__rl": True, "mode": "id", "value": inside}, "options": {}}
        hook, token, respond = webhook_chain(
            path,
            oauth2,
            {
                "resource": "secret",
                "operation": "issueToken",
                **where,
                "workflowId": inside,
                "executionId": "",
            },
        )
        sub = make_node(path, "Sub", "n8n-nodes-base.executeWorkflow", 1.2, call)
        workflow = n8n.ensure_workflow(path, [hook, token, sub, respond])
        _, execution = n8n.run_webhook(workflow, path, {})
        assert execution.status == "success", execution.error
        assert execution.items("Sub") == [{"letters": len(canary)}]
        [issued] = execution.items("Email Sender")
        assert issued["token"].encode() in stored()
        assert canary.encode() not in stored()

        # A workflow that saves its runs keeps the value with them, whatever the node does.
        get = {"resource": "secret", "operation": "get", **where}
        keeps = n8n.ensure_workflow(f"{path}-keeps", webhook_chain(f"{path}-keeps", oauth2, get))
        n8n.run_webhook(keeps, f"{path}-keeps", {})
        assert canary.encode() in stored()


class TestSendAndWait:
    ASK: ClassVar = {
        "resource": "email",
        "operation": "sendAndWait",
        "to": ADA,
        "subject": "={{ $json.subject }}",
        "message": "May <b>this</b> be sent?",
        "approvalOptions": {"values": {"approvalType": "double", "disapproveLabel": "Not yet"}},
    }

    @pytest.fixture
    def ask(self, n8n, oauth2, platform) -> Callable[..., tuple[str, list[str]]]:
        """Has a workflow ask, one subject after the other; its id, and the links of the first."""

        def start(*subjects: str, **more: object) -> tuple[str, list[str]]:
            path = f"test-{uuid.uuid4()}"
            hook, sender, _ = webhook_chain(path, oauth2, {**self.ASK, **more})
            hook["parameters"]["responseMode"] = "onReceived"
            split = make_node(
                path, "Split Out", "n8n-nodes-base.splitOut", 1, {"fieldToSplitOut": "body.asked"}
            )
            loop = make_node(path, "Loop", "n8n-nodes-base.splitInBatches", 3, {"options": {}})
            workflow = n8n.ensure_workflow(
                path,
                [hook, split, loop, sender],
                connect(
                    ("Webhook", 0, "Split Out"),
                    ("Split Out", 0, "Loop"),
                    ("Loop", 1, "Email Sender"),
                    ("Email Sender", 0, "Loop"),
                ),
            )
            n8n.call_webhook(path, {"asked": [{"subject": one} for one in subjects]})
            return workflow, links(platform.data_dir, subjects[0])

        return start

    def runs(self, n8n: N8nApi, workflow: str) -> list[str]:
        """The states of its executions."""
        found = n8n.call("GET", f"/api/v1/executions?workflowId={workflow}&limit=10")["data"]
        return [one["status"] for one in found]

    def test_goes_on_by_who_presses_the_button_and_not_by_who_opens_the_link(
        self, n8n, platform, ask
    ):
        limit = {"limitType": "afterTimeInterval", "resumeAmount": 1, "resumeUnit": "minutes"}
        late, (unanswered, _) = ask(
            f"Late {uuid.uuid4()}", options={"limitWaitTime": {"values": limit}}
        )
        first, second = f"First {uuid.uuid4()}", f"Second {uuid.uuid4()}"
        workflow, (yes, no) = ask(first, second)
        until(lambda: self.runs(n8n, workflow) == ["waiting"])
        with httpx.Client(trust_env=False) as scanner:
            for link, label in ((yes, "Approve"), (no, "Not yet"), (yes, "Approve")):
                page = scanner.get(link)
                assert page.status_code == 200, page.text
                assert f'<form method="post"><button type="submit">{label}</button>' in page.text
                assert first in page.text
                assert "default-src 'none'" in page.headers["content-security-policy"]
            for forged in (yes.replace("approved=true", "approved=false"), yes.split("&sig")[0]):
                assert scanner.get(forged).status_code == 401
                assert scanner.post(forged).status_code == 401
            assert self.runs(n8n, workflow) == ["waiting"]

            answer = scanner.post(no)
            assert (answer.status_code, "Your answer was taken" in answer.text) == (200, True)
            # The next turn of the loop asks something else, which the old links do not answer.
            again, _ = links(platform.data_dir, second)
            until(lambda: self.runs(n8n, workflow) == ["waiting"])
            assert scanner.post(yes).status_code == 410
            assert self.runs(n8n, workflow) == ["waiting"]
            assert scanner.post(again).status_code == 200
            run = n8n.last_execution(workflow)
            answers = [
                turn["data"]["main"][0][0]["json"]
                for turn in run.data["resultData"]["runData"]["Email Sender"]
            ]
            assert run.status == "success", run.error
            assert answers == [
                {"data": {"approved": approved, "respondedAt": ANY}} for approved in (False, True)
            ]
            once_more = scanner.post(again)
            assert "Your answer was taken" not in once_more.text
            assert self.runs(n8n, workflow) == ["success"]

            # Nobody answers: it goes on with what came in.
            run = n8n.last_execution(late, seconds=300)
            assert run.status == "success", run.error
            assert [list(one) for one in run.items("Email Sender")] == [["subject"]]
            assert "Your answer was taken" not in scanner.post(unanswered).text
            assert self.runs(n8n, late) == ["success"]


def links(data_dir: Path, subject: str) -> list[str]:
    """Where the e-mail of this subject is answered, once it has arrived."""

    def arrived() -> list[EmailMessage]:
        mails = [
            message_from_bytes(copy, _class=EmailMessage, policy=default)
            for copy in stored_copies(data_dir)
        ]
        return [mail for mail in mails if mail["Subject"] == subject]

    (mail,) = until(arrived)
    found = re.findall(r"http\S+", body_of(mail, "plain"))
    html = body_of(mail, "html")
    assert "May &#60;b&#62;this&#60;/b&#62; be sent?" in html
    assert all(link.replace("&", "&#38;") in html for link in found)
    return found
