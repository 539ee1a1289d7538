"""What schemathesis cannot know: what exists, whose idempotency key it is, whom not to remove.

``EMAIL_SENDER_TOKEN`` is the access token that makes the calls. With ``EMAIL_SENDER_EMAIL`` and
``EMAIL_SENDER_PASSWORD`` the log-in form is filled in correctly, too.
"""

import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable
from typing import Any

import httpx
import schemathesis
from schemathesis import Case, HookContext

from backend.core.ids import uuid7

EMAIL = {"to": ["ada@example.test"], "subject": "Hello", "text": "There"}
TEMPLATE = {"subject": "Hello {{ name }}", "text": "There"}


class Maker:
    """Makes one fresh thing of a kind and gives its id."""

    def __init__(self, base_url: str) -> None:
        self._base_url = f"{base_url}/api/v1"
        self._headers = {"Authorization": f"Bearer {os.environ['EMAIL_SENDER_TOKEN']}"}

    def _call(self, method: str, path: str, body: Any) -> dict[str, Any]:
        url = f"{self._base_url}/{path}"
        answer = httpx.request(method, url, json=body, headers=self._headers)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def _post(self, path: str, body: Any = None, wanted: str = "id") -> str:
        return str(self._call("POST", path, body)[wanted])

    def email(self) -> str:
        return self._post("emails", EMAIL)

    def job(self) -> str:
        return self._post("emails", EMAIL, "job_id")

    def cancelled_job(self) -> str:
        return self._post(f"jobs/{self.job()}/cancel")

    def client(self) -> str:
        return self._post("clients", {"name": "made", "role": "viewer"})

    def api_key(self) -> str:
        return self._post("api-keys", {"name": "made", "role": "viewer"})

    def member(self) -> str:
        name = secrets.token_hex(6)
        person = {"email": f"{name}@example.test", "name": name, "role": "viewer"}
        return self._post("members", person | {"password": "correct horse battery"})

    def tenant(self) -> str:
        slug = f"t-{secrets.token_hex(6)}"
        return self._post("platform/tenants", {"slug": slug, "name": slug})

    def suppression(self) -> str:
        return self._post("suppressions", {"address": f"{secrets.token_hex(6)}@example.test"})

    def template(self) -> str:
        name = f"t-{secrets.token_hex(6)}"
        self._call("PUT", f"email-templates/{name}", TEMPLATE)
        return name


_EXISTING: dict[str, tuple[str, Callable[[Maker], str]]] = {
    "get_email": ("email_id", Maker.email),
    "read_content": ("email_id", Maker.email),
    "get_job": ("job_id", Maker.job),
    "cancel_job": ("job_id", Maker.job),
    "retry_job": ("job_id", Maker.cancelled_job),
    "get_template": ("name", Maker.template),
    "put_template": ("name", Maker.template),
    "delete_template": ("name", Maker.template),
    "rotate_client": ("client_row_id", Maker.client),
    "delete_client": ("client_row_id", Maker.client),
    "revoke_api_key": ("key_id", Maker.api_key),
    "get_suppression": ("suppression_id", Maker.suppression),
    "remove_suppression": ("suppression_id", Maker.suppression),
    "set_member_role": ("user_id", Maker.member),
    "remove_member": ("user_id", Maker.member),
    "get_tenant": ("tenant_id", Maker.tenant),
}
_BODIES: dict[str, Any] = {"set_member_role": {"role": "operator"}, "put_template": TEMPLATE}


@schemathesis.hook
def before_add_examples(context: HookContext, examples: list[Case]) -> None:
    """Ask each operation on a thing once about one that exists."""
    operation = context.operation
    if operation is None:
        return
    operation_id = operation.definition.raw["operationId"]
    base_url = operation.schema.get_base_url().rstrip("/")
    if operation_id in _EXISTING:
        parameter, make = _EXISTING[operation_id]
        case = operation.Case(path_parameters={parameter: make(Maker(base_url))})
        if operation_id in _BODIES:
            case.body, case.media_type = _BODIES[operation_id], "application/json"
        examples.append(case)
    elif operation_id == "log_in" and "EMAIL_SENDER_PASSWORD" in os.environ:
        return_to = _return_to(operation.schema.raw_schema)
        page = httpx.get(f"{base_url}/oauth/login", params={"return_to": return_to})
        csrf = re.search(r'name="csrf"\s+value="([^"]+)"', page.text)
        assert csrf is not None, page.text
        form = {
            "csrf": csrf[1],
            "return_to": return_to,
            "email": os.environ["EMAIL_SENDER_EMAIL"],
            "password": os.environ["EMAIL_SENDER_PASSWORD"],
        }
        examples.append(
            operation.Case(
                body=form,
                media_type="application/x-www-form-urlencoded",
                cookies=dict(page.cookies),
            )
        )


def _return_to(document: dict[str, Any]) -> str:
    """The document's own example of an authorization request."""
    (parameter,) = document["paths"]["/oauth/login"]["get"]["parameters"]
    return str(parameter["schema"]["examples"][0])


def _own_user_id() -> str:
    """The person whose token makes the calls; a client's id, which no member has, otherwise."""
    claims = os.environ["EMAIL_SENDER_TOKEN"].split(".")[1]
    subject = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    return str(subject.partition(":")[2])


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Keep sound idempotency keys apart by request, and the caller among the members.

    A caller makes a key for one request. Drawn keys are short and repeat, and every answer would
    be that the key belongs to another request. The same request keeps the same key, so replays
    happen.
    """
    headers = case.headers
    key = str(headers.get("Idempotency-Key", "")) if headers else ""
    if headers and re.fullmatch("[!-~]{1,255}", key):
        request = (case.method, case.path, case.path_parameters, case.query, case.body)
        digest = hashlib.sha256(repr(request).encode("utf-8", "backslashreplace")).hexdigest()
        headers["Idempotency-Key"] = f"{key[:190]}-{digest}"
    if case.path_parameters.get("user_id") == _own_user_id():
        case.path_parameters["user_id"] = uuid7()
