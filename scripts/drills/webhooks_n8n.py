"""A real n8n among the programs of ``scripts/drill webhooks``: killed, and down for a while."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from scripts.drills.rig import DrillError, Json
from scripts.installation import Client, free_ports
from scripts.n8n.api import NODE_TYPE, N8nApi, N8nError, make_node
from scripts.n8n.server import N8nServer, pack_nodes

_PATH: Final = "drill"


class TriggeredWorkflow:
    """An active workflow that begins with ``Email Sender Trigger``, and the n8n that runs it."""

    def __init__(self, server: N8nServer, api: N8nApi, workflow_id: str) -> None:
        self._server = server
        self._api = api
        self._workflow_id = workflow_id

    @classmethod
    @contextmanager
    def running(cls, folder: Path, api_url: str, client: Client, kind: str) -> Iterator[Self]:
        """Start an n8n, and have its workflow started by events of one kind of the client's tenant.

        Raises:
            DrillError: It is not installed or does not do what it is asked; how to install it.
        """
        port, broker_port = free_ports(2)
        try:
            with (
                N8nServer(folder, port=port, broker_port=broker_port, package=pack_nodes()) as made,
                made.open_api() as api,
            ):
                login = api.create_oauth2_credential(
                    api_url, client.client_id, client.client_secret
                )
                nodes = [
                    make_node(
                        _PATH,
                        "Trigger",
                        f"{NODE_TYPE}Trigger",
                        1,
                        {"authentication": "oAuth2", "events": [kind]},
                        webhookId=f"wh-{_PATH}",
                        credentials={login.type: {"id": login.id, "name": login.name}},
                    ),
                    make_node(_PATH, "End", "n8n-nodes-base.noOp", 1, {}),
                ]
                yield cls(made, api, api.ensure_workflow(_PATH, nodes))
        except N8nError as exc:
            raise DrillError(f"n8n: {exc}") from exc

    async def go_down(self, seconds: float) -> None:
        """Kill n8n where it is, and start it again so many seconds later."""
        pid = self._server.pid
        if pid is None:
            raise DrillError("n8n has ended by itself")
        os.kill(pid, signal.SIGKILL)
        # Which takes its helpers along, as the end of their session would.
        await asyncio.to_thread(self._server.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._server.start)

    async def got(self) -> list[Json]:
        """The events that executions were started by, in the order of those."""
        found = await asyncio.to_thread(self._executions)
        return [_started_by(one) for one in sorted(found, key=lambda one: int(one["id"]))]

    def _executions(self) -> list[Json]:
        found: list[Json] = []
        asked = f"/api/v1/executions?workflowId={self._workflow_id}&limit=100&includeData=true"
        cursor: str | None = ""
        while cursor is not None:
            more = f"&cursor={quote(cursor)}" if cursor else ""
            page = self._api.call("GET", f"{asked}{more}")
            found += page["data"]
            cursor = page["nextCursor"]
        return found


def _started_by(execution: Json) -> Json:
    """The event of an execution; of one that was killed before its first node, from its stack."""
    data: Json = execution["data"]
    runs: list[Any] = data["resultData"].get("runData", {}).get("Trigger", [])
    if not runs:
        runs = data["executionData"]["nodeExecutionStack"]
    event: Json = runs[0]["data"]["main"][0][0]["json"]
    return event
