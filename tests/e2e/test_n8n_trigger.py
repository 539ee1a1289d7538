"""The trigger node in a real n8n: an alert starts a workflow once, whatever happens meanwhile.

Skipped, with the command to run, where `scripts/n8n/install.sh` has not installed n8n.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from scripts.n8n.api import NODE_TYPE, NODE_VERSION, Credential, N8nApi, make_node
from scripts.n8n.server import N8nServer
from tests.e2e.conftest import numbered, until

pytestmark = [pytest.mark.n8n, pytest.mark.slow, pytest.mark.timeout(1200)]

TRIGGER_TYPE = f"{NODE_TYPE}Trigger"


@dataclass(frozen=True)
class Paging:
    """A workflow that is started by critical alerts of one name's label, and sees to them."""

    n8n: N8nApi
    api: httpx.Client
    path: str
    workflow: str

    @property
    def address(self) -> str:
        """Where n8n is told of events, below its own address."""
        return f"wh-{self.path}/events"

    def raise_alert(self, severity: str = "critical") -> str:
        """Raise an alert; its ID."""
        asked = {"name": f"Import {uuid.uuid4()}", "severity": severity, "summary": "It stands"}
        answer = self.api.post("/api/v1/alerts", json=asked).raise_for_status()
        alert_id: str = answer.json()["id"]
        return alert_id

    def seen_to(self, alert_id: str) -> dict[str, Any]:
        """The alert, once somebody sees to it."""

        def look() -> dict[str, Any] | None:
            answer = self.api.get(f"/api/v1/alerts/{alert_id}").raise_for_status()
            alert: dict[str, Any] = answer.json()
            return alert if alert["acknowledged_at"] else None

        return until(look)

    def webhooks(self) -> list[dict[str, Any]]:
        """Webhooks that lead to this workflow."""
        listed = self.api.get("/api/v1/webhooks", params={"limit": 200}).raise_for_status()
        return [one for one in listed.json()["items"] if self.path in one["name"]]

    def subjects(self) -> list[str]:
        """What the executions of this workflow were about, in their order."""
        query = f"workflowId={self.workflow}&limit=100&includeData=true"
        found = self.n8n.call("GET", f"/api/v1/executions?{query}")["data"]
        runs = [one for one in found if one["status"] == "success"]
        assert runs == found
        return [
            one["data"]["resultData"]["runData"]["Trigger"][0]["data"]["main"][0][0]["json"][
                "subject_id"
            ]
            for one in sorted(runs, key=lambda one: int(one["id"]))
        ]

    def unpublish(self) -> None:
        """Have n8n start it no more."""
        self.n8n.call("POST", f"/api/v1/workflows/{self.workflow}/unpublish")


def paging_nodes(path: str, credential: Credential) -> list[dict[str, Any]]:
    """The trigger, and the node that sees to the alert."""
    authentication = "apiKey" if credential.type == "emailSenderApi" else "oAuth2"
    more = {"credentials": {credential.type: {"id": credential.id, "name": credential.name}}}
    trigger = {
        "authentication": authentication,
        "events": ["alert.fired"],
        "options": {"severities": ["critical"]},
    }
    acknowledge = {
        "authentication": authentication,
        "resource": "alert",
        "operation": "acknowledge",
        "alertId": "={{ $json.subject_id }}",
        "text": "=Seen by execution {{ $execution.id }}",
    }
    return [
        make_node(path, "Trigger", TRIGGER_TYPE, 1, trigger, webhookId=f"wh-{path}", **more),
        make_node(path, "Acknowledge", NODE_TYPE, NODE_VERSION, acknowledge, **more),
    ]


@pytest.fixture
def paging(n8n, oauth2, api) -> Iterator[Paging]:
    path = f"paging-{uuid.uuid4()}"
    workflow = n8n.ensure_workflow(path, paging_nodes(path, oauth2))
    made = Paging(n8n, api, path, workflow)
    yield made
    made.unpublish()


class TestAlert:
    def test_starts_the_workflow_once_which_sees_to_it(self, paging, platform, admin, stored):
        (webhook,) = paging.webhooks()
        assert webhook["kinds"] == ["alert.fired"]
        other = paging.raise_alert("info")
        alert = paging.seen_to(paging.raise_alert())

        fired, acknowledged = alert["notes"]
        assert [fired["kind"], acknowledged["kind"]] == ["fired", "acknowledged"]
        by = f"client:{platform.client_id}"
        run = paging.n8n.last_execution(paging.workflow)
        assert run.status == "success", run.error
        assert (acknowledged["actor"], acknowledged["text"]) == (by, f"Seen by execution {run.id}")
        assert paging.subjects() == [alert["id"]]
        (told,) = run.items("Trigger")
        assert told["kind"] == "alert.fired"
        assert told["data"] | {"name": alert["name"], "severity": "critical"} == told["data"]

        # Which workflow and execution it was is on record, and so is that it was told.
        last = numbered(admin, f"alert:{alert['id']}")[-1]
        assert last["action"] == "alert.acknowledged"
        assert (last["workflow"], last["execution"]) == (paging.workflow, str(run.id))
        path = f"/api/v1/webhooks/{webhook['id']}/deliveries"
        tried = paging.api.get(path).raise_for_status().json()["items"]
        assert [(one["subject"], one["outcome"]) for one in tried] == [
            (f"alert:{alert['id']}", "delivered"),
            (f"alert:{other}", "delivered"),
        ]
        assert b"whsec_" not in stored()

        paging.unpublish()
        assert paging.webhooks() == []

    def test_that_fires_while_n8n_is_down_starts_it_afterwards_in_order(
        self, paging, n8n_server: N8nServer
    ):
        before = paging.raise_alert()
        paging.seen_to(before)
        (webhook,) = paging.webhooks()
        n8n_server.stop()
        ids = [paging.raise_alert(), paging.raise_alert()]

        def failed() -> bool:
            path = f"/api/v1/webhooks/{webhook['id']}"
            return bool(paging.api.get(path).raise_for_status().json()["failures"])

        try:
            until(failed)
        finally:
            n8n_server.start()
        for alert_id in ids:
            paging.seen_to(alert_id)
        paging.n8n.last_execution(paging.workflow)
        assert until(lambda: len(found := paging.subjects()) >= 3 and found) == [before, *ids]
        # It is the webhook of before: nothing was made anew, and nothing of the place was lost.
        assert [one["id"] for one in paging.webhooks()] == [webhook["id"]]

    def test_that_nobody_signed_starts_nothing(self, paging):
        event = {"id": "e-1", "kind": "alert.fired", "subject": "alert:1", "data": {}}
        signed = {
            "webhook-id": "e-1",
            "webhook-timestamp": str(int(time.time())),
            "webhook-signature": "v1,AAAA",
            "webhook-key-id": "1",
        }
        for headers in ({}, signed):
            answer = paging.n8n.call_webhook(paging.address, event, headers)
            assert answer.status_code == 401, answer.text
        alert_id = paging.raise_alert()
        paging.seen_to(alert_id)
        paging.n8n.last_execution(paging.workflow)
        assert paging.subjects() == [alert_id]

    def test_of_before_is_what_a_builder_tries_with(self, paging, n8n):
        alert_id = paging.raise_alert()
        paging.seen_to(alert_id)
        paging.unpublish()
        workflow = n8n.call("GET", f"/rest/workflows/{paging.workflow}")["data"]
        asked = {"workflowData": workflow, "triggerToStartFrom": {"name": "Trigger"}}
        waits = n8n.call("POST", f"/rest/workflows/{paging.workflow}/run", asked)["data"]
        assert waits["waitingForWebhook"] is True
        run = n8n.last_execution(paging.workflow, after=n8n.last_execution(paging.workflow).id)
        (told,) = run.items("Trigger")
        assert told["kind"] == "alert.fired"
        assert until(lambda: not paging.webhooks())
