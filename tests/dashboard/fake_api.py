"""A stand-in for the platform: its public API and its login, in memory, after the HTTP contract.

``Platform.handle`` answers one call; ``fake_server`` gives it its two faces. Each call and each
answer is held to the published contract, so that a page that works here works on the platform.
"""

from __future__ import annotations

import base64
import hashlib
import math
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from backend.managers.tenant import ROLES as BUILT_IN
from tests.dashboard import contract

Json = dict[str, Any]

CLIENT_ID, CLIENT_SECRET = "console", "console-secret-for-tests"
PASSWORD = "correct horse battery staple"

# The platform's own, so that nobody is shown here what a real role may not see.
ROLES: dict[str, list[str]] = {name: sorted(permissions) for name, permissions in BUILT_IN.items()}

HOSTILE_HTML = (
    "<h2>Hello Ada</h2><p>Your invoice <b>2026-118</b> is attached.</p>"
    '<p style="color:#0f766e">Thank you.</p>'
    '<img src="http://tracker.invalid/pixel.png" alt="tracking pixel" width="1" height="1">'
    "<script>window.top.document.title='owned'</script>"
    '<p><a href="http://tracker.invalid/">View online</a></p>'
)


@dataclass(frozen=True)
class Call:
    """A call that arrived, for tests to look at."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Person:
    """A user: one password for all, a role per tenant."""

    id: str
    email: str
    name: str
    roles: dict[str, str]
    platform_admin: bool = False


@dataclass
class Room:
    """What one tenant has."""

    id: str
    slug: str
    name: str
    emails: list[Json] = field(default_factory=list)
    jobs: list[Json] = field(default_factory=list)
    audit: list[Json] = field(default_factory=list)
    members: list[Json] = field(default_factory=list)
    clients: list[Json] = field(default_factory=list)
    api_keys: list[Json] = field(default_factory=list)


class Refusal(Exception):  # noqa: N818 - an answer, and no fault
    """An answer that is a problem document."""

    def __init__(self, status: int, code: str, title: str, detail: str = "", **more: Any) -> None:
        super().__init__(title)
        self.status = status
        self.body: Json = {"type": f"/problems/{code}", "title": title, "code": code, **more}
        if detail:
            self.body["detail"] = detail


class Platform:
    """The rules, and everything the fake knows."""

    def __init__(self, clock: Callable[[], float] = time.time, *, empty: bool = False) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        # A page's failure is drawn and not raised: whoever tests asks here whether one was ours.
        self.lies: list[str] = []
        self.failures: dict[tuple[str, str], Refusal] = {}
        self.held: dict[tuple[str, str], threading.Event] = {}
        self.token_seconds = 300
        self.login_seconds = 3600
        self.chain_broken_at: int | None = None
        self.platform_chain_broken_at: int | None = None
        self.tokens: dict[str, tuple[str, str]] = {}
        self.revoked_logins: set[str] = set()
        self.key = ECKey.generate_key(
            "P-256", parameters={"kid": "k1", "alg": "ES256", "use": "sig"}
        )
        self._random = random.Random(7)
        self.rooms: dict[str, Room] = {}
        for slug, name in (("acme", "Acme Industries"), ("globex", "Globex")):
            room = Room(self._id(), slug, name)
            self.rooms[room.id] = room
        acme, globex = self.rooms
        self.people = [
            Person(
                self._id(),
                "ada@example.test",
                "Ada Lovelace",
                {acme: "owner", globex: "operator"},
                True,
            ),
            Person(self._id(), "vic@example.test", "Vic Viewer", {acme: "viewer"}),
        ]
        self.tenants: list[Json] = [
            {
                "id": room.id,
                "slug": room.slug,
                "name": room.name,
                "state": "active",
                "created_at": self._at(86400 * 40),
            }
            for room in self.rooms.values()
        ]
        for room in self.rooms.values():
            room.members = [
                {
                    "id": p.id,
                    "email": p.email,
                    "name": p.name,
                    "role": p.roles[room.id],
                    "created_at": self._at(86400 * days),
                }
                for days, p in zip((12, 40), reversed(self.people), strict=True)
                if room.id in p.roles
            ]
        self.audit: list[Json] = [] if empty else self._platform_acts(61)
        if not empty:
            self._fill(self.rooms[acme], 137)
            self._fill(self.rooms[globex], 4)

    # --- what is there at the start

    def _id(self) -> str:
        head = int(self.clock() * 1000).to_bytes(6, "big").hex()
        tail = f"{self._random.getrandbits(80):020x}"
        return str(uuid.UUID(f"{head}7{tail[1:4]}8{tail[4:19]}"))

    def _at(self, seconds_ago: float) -> str:
        at = datetime.fromtimestamp(self.clock(), UTC) - timedelta(seconds=seconds_ago)
        return at.isoformat().replace("+00:00", "Z")

    def _fill(self, room: Room, count: int) -> None:
        subjects = [
            "Invoice 2026-118",
            "Your order has shipped",
            "Reset your password",
            "Weekly report",
            "Welcome to Acme",
            "Payment reminder",
            "Ticket #4821 updated",
        ]
        names = ["ada", "grace", "edsger", "barbara", "alan", "katherine", "donald"]
        states = ["accepted"] * 10 + [
            "bounced",
            "deferred",
            "queued",
            "sending",
            "partial",
            "cancelled",
        ]
        for number in range(count):
            ago = 40.0 + number * 611
            state = "accepted" if number == 0 else self._random.choice(states)
            to = f"{self._random.choice(names)}@example.test"
            bounced = state in {"bounced", "deferred", "partial"}
            job_state = {
                "accepted": "succeeded",
                "bounced": "dead",
                "partial": "dead",
                "deferred": "ready",
                "queued": "ready",
                "sending": "running",
                "cancelled": "cancelled",
            }[state]
            job_id, email_id = self._id(), self._id()
            answer = (
                "550 5.1.1 No such mailbox"
                if state in {"bounced", "partial"}
                else "451 4.7.1 Try again later"
            )
            email = {
                "id": email_id,
                "message_id": f"<{email_id}@acme.test>",
                "job_id": job_id,
                "state": state,
                "subject": subjects[number % len(subjects)],
                "from": f"{room.name} <post@{room.slug}.test>",
                "to": [to],
                "cc": [],
                "bcc": [],
                "business_key": f"invoice-{1000 + number}" if number % 3 == 0 else None,
                "attempts": 3 if bounced else (0 if state == "queued" else 1),
                "size_bytes": 1800 + number,
                "created_at": self._at(ago),
                "updated_at": self._at(ago - 3),
                "accepted_at": self._at(ago - 3) if state == "accepted" else None,
                "created_by": "client:invoices",
                "recipients": [
                    {
                        "address": to,
                        "kind": "to",
                        "state": "bounced" if state == "partial" else state,
                        "response_code": int(answer[:3])
                        if bounced
                        else (250 if state == "accepted" else None),
                        "response": answer
                        if bounced
                        else ("2.0.0 Ok: queued" if state == "accepted" else None),
                        "updated_at": self._at(ago - 3),
                    }
                ],
                "timeline": [{"at": self._at(ago), "event": "queued", "attempt": 0, "detail": ""}]
                + (
                    []
                    if state == "queued"
                    else [
                        {
                            "at": self._at(ago - 1),
                            "event": "sending",
                            "attempt": 1,
                            "detail": "127.0.0.1:8402",
                        },
                        {
                            "at": self._at(ago - 3),
                            "event": "bounced" if state == "partial" else state,
                            "attempt": 1,
                            "detail": answer if bounced else "250 2.0.0 Ok: queued",
                        },
                    ]
                ),
            }
            room.emails.append(email)
            started = None if job_state == "ready" else self._at(ago - 1)
            finished = (
                self._at(ago - 2.4) if job_state in {"succeeded", "dead", "cancelled"} else None
            )
            room.jobs.append(
                {
                    "id": job_id,
                    "kind": "email.send",
                    "state": job_state,
                    "attempt": email["attempts"],
                    "max_attempts": 5,
                    "priority": 0,
                    "due_at": self._at(ago),
                    "created_at": self._at(ago),
                    "started_at": started,
                    "finished_at": finished,
                    "worker": "worker-1" if started else None,
                    "error": answer if bounced else None,
                    "result": {"accepted": 1} if job_state == "succeeded" else None,
                    "subject": f"email:{email_id}",
                    "cancel_requested": False,
                }
            )
            digest = hashlib.sha256(email_id.encode()).hexdigest()
            room.audit.append(
                {
                    "id": self._id(),
                    "seq": None if number == 0 else count - number,
                    "at": self._at(ago),
                    "actor": "client:invoices",
                    "action": "email.queued",
                    "target": f"email:{email_id}",
                    "data": {"recipients": 1},
                    "request_id": f"req-{number:04d}",
                    "hash": None if number == 0 else digest,
                }
            )
        for number, name in enumerate(("Order confirmations", "Invoices workflow")):
            room.clients.append(self._client(name, "workflow", 86400 * (4 + 5 * number)))
        for number, name in enumerate(("Dashboard wall", "Nightly report")):
            key, _ = self._api_key(name, "viewer", None, 86400 * (3 + 30 * number))
            if number:
                key["expires_at"], key["last_used_at"] = self._at(-86400 * 60), self._at(3700)
            room.api_keys.append(key)

    def _platform_acts(self, count: int) -> list[Json]:
        ada = f"user:{self.people[0].id}"
        came = {"address": "203.0.113.7"}
        tenant = self.tenants[-1]
        acts: list[tuple[str, str, str, Json]] = [
            ("login.succeeded", ada, ada, {**came, "session": self._id()}),
            ("login.failed", "system", ada, {**came, "count": 1}),
            ("login.failed", "system", "address:203.0.113.7", {**came, "count": 14}),
            ("signing_key.rotated", ada, "signing_key:k1", {"old_until": self._at(-600)}),
            ("user.password_reset", "system", ada, {}),
            (
                "tenant.created",
                ada,
                f"tenant:{tenant['id']}",
                {"slug": tenant["slug"], "name": tenant["name"]},
            ),
        ]
        made = []
        for number in range(count):
            action, actor, target, data = acts[number % len(acts)]
            made.append(
                {
                    "id": self._id(),
                    "seq": None if number == 0 else count - number,
                    "at": self._at(20.0 + number * 1733),
                    "actor": actor,
                    "action": action,
                    "target": target,
                    "data": data,
                    "request_id": f"req-platform-{number:04d}",
                    "hash": hashlib.sha256(f"{number}".encode()).hexdigest() if number else None,
                }
            )
        return made

    def _client(self, name: str, role: str, seconds_ago: float) -> Json:
        row_id = self._id()
        return {
            "id": row_id,
            "client_id": f"es_{row_id.replace('-', '')}",
            "name": name,
            "role": role,
            "disabled": False,
            "created_at": self._at(seconds_ago),
        }

    def _api_key(
        self, name: str, role: str, expires_at: str | None, seconds_ago: float
    ) -> tuple[Json, str]:
        key = f"es_key_{secrets.token_urlsafe(37)}"
        made = {
            "id": self._id(),
            "name": name,
            "role": role,
            "prefix": key[:11],
            "created_by": f"user:{self.people[0].id}",
            "created_at": self._at(seconds_ago),
            "expires_at": expires_at,
            "last_used_at": None,
        }
        return made, key

    # --- tests' handles

    def fail(
        self, method: str, path: str, status: int, code: str, title: str, detail: str = ""
    ) -> None:
        """Make every such call answer with this problem."""
        self.failures[method, path] = Refusal(status, code, title, detail)

    @contextmanager
    def holding(self, method: str, path: str) -> Iterator[None]:
        """Over HTTP, answer this operation only once the block has ended."""
        released = self.held[method, path] = threading.Event()
        try:
            yield
        finally:
            del self.held[method, path]
            released.set()

    def called(self, method: str, path: str) -> list[Call]:
        """The calls that arrived at a path."""
        return [call for call in self.calls if (call.method, call.path) == (method, path)]

    def person(self, email: str) -> Person:
        """The person with this address."""
        return next(person for person in self.people if person.email == email)

    def room(self, slug: str) -> Room:
        """The tenant with this slug."""
        return next(room for room in self.rooms.values() if room.slug == slug)

    # --- login and tokens

    def id_token(
        self, person: Person, issuer: str = "http://issuer.test", nonce: str | None = None
    ) -> str:
        """Issue a login."""
        now = int(self.clock())
        claims = {
            "iss": issuer,
            "aud": CLIENT_ID,
            "sub": person.id,
            "iat": now,
            "exp": now + self.login_seconds,
            "name": person.name,
            "email": person.email,
        }
        if nonce:
            claims["nonce"] = nonce
        return jwt.encode({"alg": "ES256", "kid": "k1"}, claims, self.key)

    def exchange(self, form: Json) -> tuple[int, Json]:
        """RFC 8693, for the console alone."""
        try:
            claims = jwt.decode(form.get("subject_token", ""), KeySet([self.key])).claims
        except Exception:  # noqa: BLE001 - any unreadable token is the same refusal
            return 400, {"error": "invalid_grant", "error_description": "The login cannot be read."}
        person = next((p for p in self.people if p.id == claims["sub"]), None)
        if person is None or claims["exp"] <= self.clock() or claims["sub"] in self.revoked_logins:
            return 400, {"error": "invalid_grant", "error_description": "The login has ended."}
        tenant = form.get("tenant") or next(iter(person.roles), "")
        if tenant not in person.roles:
            return 400, {"error": "invalid_target", "error_description": "Not a member there."}
        token = secrets.token_urlsafe(24)
        self.tokens[token] = (person.id, tenant)
        return 200, {
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": self.token_seconds,
            "tenant": tenant,
        }

    # --- the API

    def handle(self, call: Call) -> tuple[int, Any]:
        """Answer one call of the API, status and JSON, and hold both to the contract."""
        self.calls.append(call)
        status, content = self._answer(call)
        try:
            contract.hold(call.method, call.path, call.query, call.body, status, content)
        except AssertionError as error:
            self.lies.append(str(error))
            raise
        return status, content

    def _answer(self, call: Call) -> tuple[int, Any]:
        if call.path == "/oauth/token":
            basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            if call.headers.get("authorization") != f"Basic {basic}":
                return 401, {"error": "invalid_client", "error_description": "Unknown client."}
            return self.exchange(call.body)
        try:
            failure = self.failures.get((call.method, call.path))
            if failure:
                raise failure
            return self._route(call)
        except Refusal as refusal:
            return refusal.status, {
                **refusal.body,
                "status": refusal.status,
                "instance": call.path,
                "request_id": "req-from-the-fake",
            }

    def _route(self, call: Call) -> tuple[int, Any]:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            raise Refusal(401, "unauthenticated", "Log in first.")
        person_id, tenant_id = self.tokens[token]
        person = next(p for p in self.people if p.id == person_id)
        room = self.rooms[tenant_id]
        permissions = set(ROLES[person.roles[tenant_id]])
        if person.platform_admin:
            permissions |= {"platform:read", "platform:write"}

        def need(permission: str) -> None:
            if permission not in permissions:
                raise Refusal(403, "forbidden", "You may not do that.", f"It needs {permission}.")

        parts = call.path.removeprefix("/api/v1/").split("/")
        match (call.method, *parts):
            case ("GET", "me"):
                refs = [
                    {"id": i, "slug": self.rooms[i].slug, "name": self.rooms[i].name, "role": r}
                    for i, r in person.roles.items()
                ]
                return 200, {
                    "subject": f"user:{person.id}",
                    "kind": "user",
                    "name": person.name,
                    "tenant": {"id": room.id, "slug": room.slug, "name": room.name},
                    "role": person.roles[tenant_id],
                    "permissions": sorted(permissions),
                    "platform_admin": person.platform_admin,
                    "tenants": refs,
                }
            case ("GET", "overview"):
                need("overview:read")
                return 200, self._overview(room, int(call.query.get("minutes", "15")))
            case ("GET", "emails"):
                need("email:read")
                state, to = call.query.get("state"), call.query.get("recipient")
                found = [
                    e
                    for e in room.emails
                    if (not state or e["state"] == state) and (not to or to in e["to"])
                ]
                bare = [
                    {k: v for k, v in e.items() if k not in {"recipients", "timeline"}}
                    for e in found
                ]
                return self._page(bare, call)
            case ("GET", "emails", email_id):
                need("email:read")
                return 200, self._one(room.emails, email_id, "email.not_found", "No such e-mail.")
            case ("GET", "emails", email_id, "content"):
                need("email:read_content")
                email = self._one(room.emails, email_id, "email.not_found", "No such e-mail.")
                return 200, {
                    "text": "Hello Ada\n\nYour invoice 2026-118 is attached.\n",
                    "html": HOSTILE_HTML,
                    "headers": {"X-Campaign": "invoices", "Reply-To": "billing@acme.test"},
                    "attachments": [
                        {
                            "filename": "invoice-2026-118.pdf",
                            "content_type": "application/pdf",
                            "size_bytes": email["size_bytes"] * 20,
                        }
                    ],
                }
            case ("GET", "emails", email_id, "sink"):
                need("email:read_content")
                email = self._one(room.emails, email_id, "email.not_found", "No such e-mail.")
                if email["state"] != "accepted":
                    return 200, {"copies": []}
                return 200, {
                    "copies": [
                        {
                            "received_at": email["accepted_at"],
                            "envelope_from": "post@acme.test",
                            "envelope_to": email["to"],
                            "size_bytes": email["size_bytes"],
                            "headers": [
                                ["Subject", email["subject"]],
                                ["Message-ID", email["message_id"]],
                            ],
                            "text": "Hello Ada\n\nYour invoice 2026-118 is attached.\n",
                            "html": None,
                        }
                    ]
                }
            case ("GET", "jobs"):
                need("job:read")
                state, kind = call.query.get("state"), call.query.get("kind")
                return self._page(
                    [
                        j
                        for j in room.jobs
                        if (not state or j["state"] == state) and (not kind or j["kind"] == kind)
                    ],
                    call,
                )
            case ("GET", "jobs", job_id):
                need("job:read")
                return 200, self._one(
                    room.jobs, job_id, "orchestrator.job_not_found", "No such job."
                )
            case ("POST", "jobs", job_id, verb) if verb in {"cancel", "retry"}:
                need("job:write")
                job = self._one(room.jobs, job_id, "orchestrator.job_not_found", "No such job.")
                allowed = {
                    "cancel": {"blocked", "ready", "running"},
                    "retry": {"dead", "cancelled"},
                }[verb]
                if job["state"] not in allowed:
                    ability = {"cancel": "cancellable", "retry": "retryable"}[verb]
                    raise Refusal(
                        409, f"orchestrator.job_not_{ability}", f"The job is not {ability}."
                    )
                # A running job is only asked to stop: it ends when its worker has heard of it.
                job["cancel_requested"] = verb == "cancel"
                if verb == "retry":
                    job["state"] = "ready"
                elif job["state"] != "running":
                    job["state"] = "cancelled"
                return 200, job
            case ("GET", "audit"):
                need("audit:read")
                return self._trail(room.audit, call)
            case ("POST", "audit", "verify"):
                need("audit:verify")
                return 200, self._verdict(room.audit, self.chain_broken_at)
            case ("GET", "platform", "audit"):
                need("platform:read")
                return self._trail(self.audit, call)
            case ("POST", "platform", "audit", "verify"):
                need("platform:read")
                return 200, self._verdict(self.audit, self.platform_chain_broken_at)
            case ("GET", "roles"):
                need("role:read")
                return 200, {"items": [{"name": n, "permissions": p} for n, p in ROLES.items()]}
            case ("GET", "members"):
                need("member:read")
                return self._page(room.members, call)
            case ("POST", "members"):
                need("member:write")
                member = {
                    "id": self._id(),
                    **{k: call.body[k] for k in ("email", "name", "role")},
                    "created_at": self._at(0),
                }
                room.members.insert(0, member)
                return 201, member
            case ("PUT" | "DELETE", "members", user_id):
                need("member:write")
                member = self._one(
                    room.members, user_id, "tenant.member_not_found", "No such member."
                )
                if call.method == "DELETE":
                    room.members.remove(member)
                    return 204, None
                member["role"] = call.body["role"]
                return 200, member
            case ("GET", "clients"):
                need("client:read")
                return self._page(room.clients, call)
            case ("POST", "clients"):
                need("client:write")
                client = self._client(call.body["name"], call.body["role"], 0)
                room.clients.insert(0, client)
                return 201, {**client, "client_secret": secrets.token_urlsafe(16)}
            case ("POST", "clients", client_id, "rotate"):
                need("client:write")
                client = self._one(
                    room.clients, client_id, "gateway.client_not_found", "No such client."
                )
                return 200, {**client, "client_secret": secrets.token_urlsafe(16)}
            case ("DELETE", "clients", client_id):
                need("client:write")
                room.clients.remove(
                    self._one(
                        room.clients, client_id, "gateway.client_not_found", "No such client."
                    )
                )
                return 204, None
            case ("GET", "api-keys"):
                need("api_key:read")
                return self._page(room.api_keys, call)
            case ("POST", "api-keys"):
                need("api_key:write")
                expires_at = call.body.get("expires_at")
                if expires_at and datetime.fromisoformat(expires_at).timestamp() <= self.clock():
                    raise Refusal(422, "gateway.expiry_invalid", "The expiry lies in the past.")
                made, key = self._api_key(call.body["name"], call.body["role"], expires_at, 0)
                room.api_keys.insert(0, made)
                return 201, {**made, "key": key}
            case ("DELETE", "api-keys", key_id):
                need("api_key:write")
                room.api_keys.remove(
                    self._one(room.api_keys, key_id, "gateway.api_key_not_found", "No such key.")
                )
                return 204, None
            case ("GET", "platform", "tenants"):
                need("platform:read")
                return self._page(self.tenants, call)
            case ("POST", "platform", "tenants"):
                need("platform:write")
                if any(t["slug"] == call.body["slug"] for t in self.tenants):
                    raise Refusal(
                        409, "tenant.slug_taken", "This slug is in use.", "Choose another one."
                    )
                tenant = {
                    "id": self._id(),
                    "slug": call.body["slug"],
                    "name": call.body["name"],
                    "state": "active",
                    "created_at": self._at(0),
                }
                self.tenants.insert(0, tenant)
                return 201, tenant
        raise Refusal(404, "not_found", "There is nothing at this address.")

    @classmethod
    def _trail(cls, records: list[Json], call: Call) -> tuple[int, Json]:
        def matches(value: str, wanted: str | None) -> bool:
            if wanted and wanted.endswith("*"):
                return value.startswith(wanted[:-1])
            return not wanted or value == wanted

        names = ("action", "actor", "target")
        found = [r for r in records if all(matches(r[n], call.query.get(n)) for n in names)]
        return cls._page(found, call)

    @staticmethod
    def _verdict(records: list[Json], broken_at: int | None) -> Json:
        chained = [r for r in records if r["seq"]]
        return {
            "valid": broken_at is None,
            "records": len(chained),
            "head_seq": len(chained),
            "head_hash": chained[0]["hash"] if chained else None,
            "first_invalid_seq": broken_at,
            "unsequenced": len(records) - len(chained),
        }

    @staticmethod
    def _one(items: list[Json], wanted: str, code: str, title: str) -> Json:
        for item in items:
            if item["id"] == wanted:
                return item
        raise Refusal(404, code, title)

    @staticmethod
    def _page(items: list[Json], call: Call) -> tuple[int, Json]:
        limit = int(call.query.get("limit", "50"))
        if not 1 <= limit <= 200:
            raise Refusal(
                422,
                "invalid_input",
                "limit must be from 1 to 200.",
                errors=[{"pointer": "/limit", "detail": "from 1 to 200"}],
            )
        start = (
            int(base64.urlsafe_b64decode(call.query["cursor"])) if call.query.get("cursor") else 0
        )
        end = start + limit
        more = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(items) else None
        return 200, {"items": items[start:end], "next_cursor": more}

    def _overview(self, room: Room, minutes: int) -> Json:
        now, series = self.clock(), []
        if room.emails:
            for step in range(minutes * 6, 0, -1):
                at = now - step * 10
                wave = 14 + 6 * math.sin(at / 120) + 2 * math.sin(at / 17)
                latency = round(38 + 9 * math.sin(at / 90) + 6 * math.cos(at / 13), 1)
                # Two minutes in which nobody asked for anything, but for one request.
                quiet = 40 <= step < 52 and step != 46
                series.append(
                    {
                        "at": self._at(step * 10),
                        "requests_per_second": 0.0 if quiet else round(wave, 2),
                        "p95_ms": None if quiet else latency,
                        "error_rate": None if quiet else 0.012 if step % 40 < 4 else 0.0,
                    }
                )

        def count(items: list[Json]) -> dict[str, int]:
            out: dict[str, int] = {}
            for item in items:
                out[item["state"]] = out.get(item["state"], 0) + 1
            return out

        failures = [
            {
                "at": e["updated_at"],
                "kind": "email",
                "id": e["id"],
                "title": e["subject"],
                "detail": e["recipients"][0]["response"],
            }
            for e in room.emails
            if e["state"] == "bounced"
        ]
        failures += [
            {
                "at": j["finished_at"],
                "kind": "job",
                "id": j["id"],
                "title": j["kind"],
                "detail": j["error"],
            }
            for j in room.jobs
            if j["state"] == "dead"
        ]
        failures.sort(key=lambda failure: str(failure["at"]), reverse=True)
        return {
            "window_seconds": minutes * 60,
            "step_seconds": 10,
            "requests": {
                "per_second": 14.2 if series else 0.0,
                "p95_ms": 46.0 if series else None,
                "error_rate": 0.0012 if series else None,
            },
            "series": series,
            "jobs": count(room.jobs),
            "emails": count(room.emails),
            "failures": failures[:10],
        }
