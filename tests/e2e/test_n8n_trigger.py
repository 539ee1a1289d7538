"""Workflows of a real n8n that are started from here: by the trigger node, and by jobs.

An alert starts a workflow once, whatever happens meanwhile; what a workflow answers a job, at once
or later, is what the job results in.

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

    def test_that_is_told_again_starts_it_no_second_time(self, paging):
        before = paging.raise_alert()
        paging.seen_to(before)
        (webhook,) = paging.webhooks()
        path = f"/api/v1/webhooks/{webhook['id']}"
        paging.api.post(f"{path}/replay", json={"after_seq": 0}).raise_for_status()
        after = paging.raise_alert()
        paging.seen_to(after)
        paging.n8n.last_execution(paging.workflow)
        # From the first of all: those of other tests are told as well.
        started = paging.subjects()
        assert {before, after} <= set(started)
        assert len(started) == len(set(started))
        told = paging.api.get(f"{path}/deliveries").raise_for_status().json()["items"]
        assert [one["subject"] for one in told].count(f"alert:{before}") == 2

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


@pytest.fixture
def path() -> str:
    """Of a webhook that no other test has."""
    return f"job-{uuid.uuid4()}"


def webhook_node(path: str, mode: str) -> dict[str, Any]:
    parameters = {"httpMethod": "POST", "path": path, "responseMode": mode, "options": {}}
    return make_node(
        path, "Webhook", "n8n-nodes-base.webhook", 2.1, parameters, webhookId=f"wh-{path}"
    )


def totals(path: str) -> dict[str, Any]:
    """Of the orders that the webhook was told."""
    parameters = {
        "mode": "raw",
        "jsonOutput": "={{ { sum: $json.body.orders.reduce((a, b) => a + b, 0), "
        "key: $json.headers['idempotency-key'] } }}",
        "options": {},
    }
    return make_node(path, "Totals", "n8n-nodes-base.set", 3.4, parameters)


def answering(n8n: N8nApi, path: str) -> str:
    """A workflow that responds when its last node finishes."""
    return n8n.ensure_workflow(path, [webhook_node(path, "lastNode"), totals(path)])


def calling_back(n8n: N8nApi, path: str) -> str:
    """A workflow that responds at once, waits, and calls back with what it came to."""
    waits = {"resume": "timeInterval", "amount": 2, "unit": "seconds"}
    calls = {
        "method": "POST",
        "url": "={{ $('Webhook').first().json.headers['x-callback-url'] }}",
        "sendBody": True,
        "specifyBody": "json",
        "jsonBody": "={{ JSON.stringify({ sum: $json.sum }) }}",
        "options": {},
    }
    nodes = [
        webhook_node(path, "onReceived"),
        totals(path),
        make_node(path, "Wait", "n8n-nodes-base.wait", 1.1, waits, webhookId=f"wait-{path}"),
        make_node(path, "Call Back", "n8n-nodes-base.httpRequest", 4.2, calls),
    ]
    return n8n.ensure_workflow(path, nodes)


def asks(n8n: N8nApi, path: str, **more: Any) -> dict[str, Any]:
    return {"url": f"{n8n.url}/webhook/{path}", "payload": {"orders": [3, 4]}, **more}


def submit(api: httpx.Client, args: dict[str, Any], **more: Any) -> str:
    answer = api.post("/api/v1/jobs", json={"kind": "n8n.workflow", "args": args, **more})
    return str(answer.raise_for_status().json()["id"])


def ended(api: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job, once it is over."""

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = api.get(f"/api/v1/jobs/{job_id}").raise_for_status().json()
        return job if job["state"] in {"succeeded", "dead", "cancelled", "skipped"} else None

    return until(look)


@pytest.fixture
def published(n8n: N8nApi) -> Iterator[list[str]]:
    """Ids of workflows that are to answer no more afterwards."""
    made: list[str] = []
    yield made
    for workflow in made:
        n8n.call("POST", f"/api/v1/workflows/{workflow}/unpublish")


class TestJob:
    def test_results_in_what_the_last_node_responds(self, n8n, api, path, published):
        published.append(answering(n8n, path))
        job = ended(api, submit(api, asks(n8n, path)))
        assert (job["state"], job["error"]) == ("succeeded", None)
        assert job["result"] == {"status": 200, "body": {"sum": 7, "key": job["id"]}}
        run = n8n.last_execution(published[0])
        assert run.items("Webhook")[0]["headers"]["traceparent"].split("-")[1] == job["trace_id"]

    def test_results_in_what_the_workflow_calls_back_with(self, n8n, api, path, published):
        published.append(calling_back(n8n, path))
        job_id = submit(api, asks(n8n, path, answer="callback", wait_seconds=300))
        job = ended(api, job_id)
        assert (job["state"], job["error"]) == ("succeeded", None)
        assert (job["result"], job["attempt"]) == ({"sum": 7}, 1)
        run = n8n.last_execution(published[0])
        assert run.status == "success", run.error
        told = run.items("Webhook")[0]
        assert told["body"]["callback_url"] == told["headers"]["x-callback-url"]

    def test_says_that_no_workflow_is_active(self, n8n, api, path):
        workflow = answering(n8n, path)
        n8n.call("POST", f"/api/v1/workflows/{workflow}/unpublish")
        job = ended(api, submit(api, asks(n8n, path), max_attempts=1))
        said = f"No active workflow has the webhook POST /webhook/{path}"
        assert (job["state"], job["error"]) == ("dead", said)


class TestGraph:
    def test_hands_the_result_of_a_workflow_to_the_next(self, n8n, api, path, published):
        first, second = f"{path}-a", f"{path}-b"
        published += [answering(n8n, first), calling_back(n8n, second)]
        orders = {"orders": [{"$result": "add", "path": "body.sum"}, 10]}
        tasks = [
            {"name": "add", "kind": "n8n.workflow", "args": asks(n8n, first)},
            {
                "name": "more",
                "kind": "n8n.workflow",
                "depends_on": ["add"],
                "args": asks(n8n, second, payload=orders, answer="callback", wait_seconds=300),
            },
        ]
        graph = api.post("/api/v1/job-graphs", json={"name": path, "tasks": tasks})
        where = f"/api/v1/job-graphs/{graph.raise_for_status().json()['id']}"
        items = api.get(f"{where}/tasks").raise_for_status().json()["items"]
        jobs = {one["name"]: ended(api, one["id"]) for one in items}
        assert jobs["add"]["result"]["body"]["sum"] == 7
        assert (jobs["more"]["state"], jobs["more"]["error"]) == ("succeeded", None)
        assert jobs["more"]["result"] == {"sum": 17}
        assert api.get(where).raise_for_status().json()["state"] == "succeeded"
