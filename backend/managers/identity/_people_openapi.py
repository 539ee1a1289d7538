"""The OpenAPI fragment of the pages on which people come in by themselves."""

from typing import Any, Final

from backend.http.openapi import form_schema
from backend.managers.identity._accounts import RESET_PATH
from backend.managers.identity._invitations import INVITATION_PATH

_TEXT: Final = {"type": "string"}
_TOKEN: Final = {**_TEXT, "description": "The link's, which works once", "examples": ["none"]}
_NEW_PASSWORD: Final = {
    "password": {**_TEXT, "format": "password"},
    "again": {**_TEXT, "format": "password", "description": "The same password"},
}


def _html(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/html": {"schema": _TEXT}}}


def _form(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    schema = form_schema(required, properties)
    return {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": schema}},
    }


_TOKEN_IN_QUERY: Final = {"name": "token", "in": "query", "required": True, "schema": _TOKEN}
_LINK: Final = {
    "404": _html("No such link, or a newer one"),
    "409": _html("It was accepted or revoked, or its time is over"),
    "429": _html("Too many wrong links; see Retry-After"),
}

_USED: Final = {
    "404": _html("No such link, or it was used, or its time is over"),
    "429": _html("Too many attempts; see Retry-After"),
}

PATHS: Final[dict[str, Any]] = {
    RESET_PATH: {
        "get": {
            "tags": ["oauth"],
            "summary": "The page of a forgotten password",
            "operationId": "show_password_reset",
            "security": [],
            "parameters": [{**_TOKEN_IN_QUERY, "required": False}],
            "responses": {"200": _html("Asks for the e-mail, or for the new password"), **_USED},
        },
        "post": {
            "tags": ["oauth"],
            "summary": "Ask for a link to set a new password, or set it by one",
            "description": "Whether somebody logs in with the e-mail, the answer does not say.",
            "operationId": "reset_password",
            "security": [],
            "requestBody": _form(
                ["csrf"],
                {
                    "csrf": _TEXT,
                    "email": {**_TEXT, "format": "email"},
                    "token": _TEXT,
                    **_NEW_PASSWORD,
                },
            ),
            "responses": {
                "200": _html("A link is on its way if somebody logs in so; or: it is set"),
                "403": _html("The form has expired"),
                "422": _html("The password will not do"),
                **_USED,
            },
        },
    },
    INVITATION_PATH: {
        "get": {
            "tags": ["oauth"],
            "summary": "The page of an invitation",
            "operationId": "show_invitation",
            "security": [],
            "parameters": [_TOKEN_IN_QUERY],
            "responses": {"200": _html("A form, or the way to the log-in page"), **_LINK},
        },
        "post": {
            "tags": ["oauth"],
            "summary": "Accept an invitation",
            "description": (
                "Who has no log-in of the invited address names themselves and chooses a password;"
                " who has one is logged in with it."
            ),
            "operationId": "accept_invitation",
            "security": [],
            "requestBody": _form(
                ["csrf", "token"],
                {
                    "csrf": _TEXT,
                    "token": _TOKEN,
                    "name": _TEXT,
                    **_NEW_PASSWORD,
                },
            ),
            "responses": {
                "200": _html("A member now"),
                "403": _html("The form has expired, or one has to log in first"),
                "422": _html("The name or the password will not do"),
                **_LINK,
            },
        },
    },
}
"""For the application to merge into its document."""
