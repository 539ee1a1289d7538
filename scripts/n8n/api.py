"""n8n as its owner drives it over HTTP, and the workflows that the demo and the tests put into it.

What is not in n8n's public API goes the way its editor goes.
"""

import dataclasses
import itertools
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import httpx

PACKAGE = "n8n-nodes-email-sender"
NODE_TYPE = f"{PACKAGE}.emailSender"
NODE_VERSION = 1.1
DEMO_NAME = "Email Sender demo"
DEMO_PATH = "email-sender-demo"
DEMO_PARAMETERS: Mapping[str, object] = {
    "resource": "email",
    "operation": "send",
    "to": "={{ $json.body.to }}",
    # Every call without a key of its own is an occasion of its own.
    "businessKey": "={{ $json.body.business_key ?? 'execution-' + $execution.id }}",
    "content": "message",
    "subject": "={{ $json.body.subject }}",
    "text": "={{ $json.body.text }}",
}

Json = dict[str, Any]


class N8nError(RuntimeError):
    """n8n could not be found, started or used; the message says which and what to do."""


@dataclasses.dataclass(frozen=True)
class Credential:
    """A stored credential, as a node refers to it."""

    id: str
    name: str
    type: str


@dataclasses.dataclass(frozen=True)
class Execution:
    """One run of a workflow."""

    id: int
    status: str
    data: Json

    @property
    def error(self) -> Json:
        """What the run failed with (`message`, `description`, `httpCode` ...); empty if nothing."""
        error: Json = self.data["resultData"].get("error") or {}
        return error

    def items(self, node: str, output: int = 0) -> list[Json]:
        """The JSON of the items that a node put out in its last run."""
        runs = self.data["resultData"]["runData"][node]
        return [item["json"] for item in runs[-1]["data"]["main"][output]]


class N8nApi:
    """n8n as its owner drives it."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Loopback: no proxy of the environment may come between.
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Make one call and return its JSON.

        Raises:
            N8nError: any other answer than 2xx.
        """
        response = self._client.request(method, path, json=body)
        if not response.is_success:
            raise N8nError(f"{method} {path}: {response.status_code} {response.text[:600]}")
        return response.json() if response.content else None

    def login(self, email: str, password: str) -> None:
        """Log in; the cookie serves the calls below /rest."""
        self.call("POST", "/rest/login", {"emailOrLdapLoginId": email, "password": password})

    def make_api_key(self) -> None:
        """Make an API key for the calls below /api/v1, in place of the one of an earlier start."""
        label = "email-sender driver"
        # The key itself is shown once, so an old one is of no use to anybody.
        for key in _listed(self.call("GET", "/rest/api-keys")["data"]):
            if key["label"] == label:
                self.call("DELETE", f"/rest/api-keys/{key['id']}")
        scopes = self.call("GET", "/rest/api-keys/scopes")["data"]
        made = self.call(
            "POST", "/rest/api-keys", {"label": label, "expiresAt": None, "scopes": scopes}
        )
        self._client.headers["X-N8N-API-KEY"] = made["data"]["rawApiKey"]

    def create_oauth2_credential(
        self, base_url: str, client_id: str, client_secret: str, *, name: str = "Email Sender"
    ) -> Credential:
        """Store a client of Email Sender; n8n fetches its tokens by itself."""
        return self.ensure_credential(
            name,
            "emailSenderOAuth2Api",
            {"baseUrl": base_url, "clientId": client_id, "clientSecret": client_secret},
        )

    def create_api_key_credential(
        self, base_url: str, api_key: str, *, name: str = "Email Sender key"
    ) -> Credential:
        """Store an API key of Email Sender."""
        return self.ensure_credential(
            name, "emailSenderApi", {"baseUrl": base_url, "apiKey": api_key}
        )

    def ensure_credential(self, name: str, kind: str, data: Json) -> Credential:
        """Store a credential of any type under its name, in place of an earlier one."""
        # By name: a second start must not pile up credentials, and must bring the newest secret.
        for stored in _listed(self.call("GET", "/rest/credentials")["data"]):
            if stored["name"] == name and stored["type"] == kind:
                self.call("PATCH", f"/api/v1/credentials/{stored['id']}", {"data": data})
                return Credential(stored["id"], name, kind)
        made = self.call("POST", "/api/v1/credentials", {"name": name, "type": kind, "data": data})
        return Credential(made["id"], name, kind)

    def test_credential(self, credential: Credential) -> Json:
        """Run the credential's own test; returns `{"status": "OK" | "Error", "message"}`."""
        outcome: Json = self.call("POST", f"/api/v1/credentials/{credential.id}/test")
        return outcome

    def ensure_workflow(
        self,
        name: str,
        nodes: Sequence[Json],
        connections: Json | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> str:
        """Make or renew the workflow of this name, and publish it; returns its id.

        Args:
            name: its identity across starts.
            nodes: as `webhook_chain` makes them.
            connections: default: each node feeds the next.
            settings: beside the order of execution, such as what is saved of a run.
        """
        wanted = {
            "name": name,
            "nodes": nodes,
            "connections": connections or _in_a_row(nodes),
            "settings": {"executionOrder": "v1", **(settings or {})},
        }
        found = self.call("GET", f"/api/v1/workflows?{urlencode({'name': name})}")["data"]
        stored = next((workflow for workflow in found if workflow["name"] == name), None)
        if stored is None:
            stored = self.call("POST", "/api/v1/workflows", wanted)
        else:
            self.call("PUT", f"/api/v1/workflows/{stored['id']}", wanted)
        workflow_id: str = stored["id"]
        self.publish(workflow_id)
        return workflow_id

    def ensure_demo_workflow(self, credential: Credential) -> str:
        """Make sure of the demo: `POST /webhook/email-sender-demo` sends; returns its id.

        It takes `{"to", "subject", "text", "business_key"?}` and answers with the e-mail.
        """
        return self.ensure_workflow(
            DEMO_NAME, webhook_chain(DEMO_PATH, credential, DEMO_PARAMETERS)
        )

    def publish(self, workflow_id: str) -> None:
        """Publish: from here on the workflow's webhook answers."""
        self.call("POST", f"/api/v1/workflows/{workflow_id}/publish", {})

    def call_webhook(
        self, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Call a published webhook, as somebody who knows nothing but its address."""
        return httpx.post(
            f"{self.url}/webhook/{path}", json=body, headers=headers, timeout=60, trust_env=False
        )

    def run_webhook(
        self, workflow_id: str, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Response, Execution]:
        """Call a workflow's webhook; returns the answer and the very run that gave it."""
        before = max(self._run_ids(workflow_id), default=0)
        response = self.call_webhook(path, body, headers)
        return response, self.last_execution(workflow_id, after=before)

    def last_execution(self, workflow_id: str, *, after: int = 0, seconds: float = 60) -> Execution:
        """The newest finished run of a workflow, with its data.

        Args:
            workflow_id: of the workflow.
            after: id of an older run; this one is newer. n8n may store a run a moment after it
                answered.
            seconds: how long to wait for it.

        Raises:
            N8nError: no such run in time.
        """
        deadline = time.monotonic() + seconds
        path = f"/api/v1/executions?workflowId={workflow_id}&limit=1&includeData=true"
        while time.monotonic() < deadline:
            for run in self.call("GET", path)["data"]:
                finished = run["status"] not in {"new", "running", "waiting"}
                if finished and int(run["id"]) > after:
                    return Execution(int(run["id"]), run["status"], run["data"])
            time.sleep(0.1)
        raise N8nError(f"workflow {workflow_id} has no finished run after run {after}")

    def _run_ids(self, workflow_id: str) -> list[int]:
        found = self.call("GET", f"/api/v1/executions?workflowId={workflow_id}&limit=1")
        return [int(run["id"]) for run in found["data"]]


def _listed(value: Any) -> list[Json]:
    """The rows of a list that n8n gives bare at some places and wrapped at others."""
    rows: list[Json] = (
        value if isinstance(value, list) else value.get("items", value.get("data", []))
    )
    return rows


def webhook_chain(
    path: str, credential: Credential, parameters: Mapping[str, object], **settings: object
) -> list[Json]:
    """The nodes Webhook, Email Sender and Respond.

    `POST /webhook/<path>` then answers with all items that Email Sender gives.

    Args:
        path: of the webhook.
        credential: for Email Sender; decides its `authentication`.
        parameters: of Email Sender.
        settings: of Email Sender, such as `onError` or `retryOnFail`.
    """
    authentication = "apiKey" if credential.type == "emailSenderApi" else "oAuth2"
    return [
        make_node(
            path,
            "Webhook",
            "n8n-nodes-base.webhook",
            2.1,
            {"httpMethod": "POST", "path": path, "responseMode": "responseNode", "options": {}},
            webhookId=f"wh-{path}",
        ),
        make_node(
            path,
            "Email Sender",
            NODE_TYPE,
            NODE_VERSION,
            {"authentication": authentication, **parameters},
            credentials={credential.type: {"id": credential.id, "name": credential.name}},
            **settings,
        ),
        make_node(
            path,
            "Respond",
            "n8n-nodes-base.respondToWebhook",
            1.4,
            {"respondWith": "allIncomingItems", "options": {}},
        ),
    ]


def make_node(
    path: str, name: str, kind: str, version: float, parameters: Json, **settings: object
) -> Json:
    """One node of the workflow that belongs to a webhook path."""
    # The id follows from the place, so that a renewed workflow keeps the identity of its nodes.
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{PACKAGE}/{path}/{name}")
    return {
        "id": str(identity),
        "name": name,
        "type": kind,
        "typeVersion": version,
        "position": [0, 0],
        "parameters": parameters,
        **settings,
    }


def connect(*links: tuple[str, int, str]) -> Json:
    """Connections from (node, its output, next node) triples; order within an output is kept."""
    outputs: dict[str, list[list[Json]]] = {}
    for before, output, after in links:
        branches = outputs.setdefault(before, [])
        while len(branches) <= output:
            branches.append([])
        branches[output].append({"node": after, "type": "main", "index": 0})
    return {name: {"main": branches} for name, branches in outputs.items()}


def _in_a_row(nodes: Sequence[Json]) -> Json:
    for place, node in enumerate(nodes):
        node["position"] = [220 * place, 0]
    return connect(*((a["name"], 0, b["name"]) for a, b in itertools.pairwise(nodes)))
