"""What schemathesis cannot know: which key belongs to which request, and whom it must not remove."""

import base64
import hashlib
import json
import os
import re
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

from backend.core.ids import uuid7


def _own_user_id() -> str:
    """The person whose token makes the calls."""
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
