"""The OpenAPI fragment of the routes that neither plane generates: OAuth's and OpenID's own."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from backend.core.errors import RateLimitedError
from backend.http.openapi import form_schema, json_response, ref
from backend.http.reply import problems
from backend.managers.identity._oauth import TOKEN_EXCHANGE

_TEXT: Final = {"type": "string"}
_URI: Final = {"type": "string", "format": "uri"}
_SECONDS: Final = {"type": "integer", "description": "Seconds"}


def _form(required: list[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = form_schema(required, properties)
    return {
        "required": bool(required),
        "content": {"application/x-www-form-urlencoded": {"schema": schema}},
    }


def _html(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/html": {"schema": _TEXT}}}


def _query(name: str, schema: Mapping[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": dict(schema)}


_OAUTH_ERRORS: Final = {
    "400": json_response("The request is not valid (RFC 6749)", ref("OAuthError")),
    "401": json_response("The client's authentication failed", ref("OAuthError")),
    "403": json_response("The client or the person is told why", ref("OAuthError")),
    "429": json_response("Too many failed attempts; see Retry-After", ref("OAuthError")),
}
_CLIENT_AUTH: Final[list[dict[str, list[str]]]] = [{"clientBasic": []}, {}]
_GATED: Final = {str(status): answer for status, answer in problems(RateLimitedError).items()}
_METADATA: Final = {
    "get": {
        "tags": ["oauth"],
        "summary": "Describe the issuer",
        "operationId": "get_issuer_metadata",
        "security": [],
        "responses": {"200": json_response("Endpoints and abilities", {"type": "object"})},
    }
}
_CLIENT_ID: Final = {**_TEXT, "minLength": 1, "examples": ["console"]}
_SOME_TEXT: Final = {**_TEXT, "minLength": 1}
_LOG_OUT: Final[dict[str, dict[str, Any]]] = {
    "id_token_hint": _TEXT,
    "post_logout_redirect_uri": {**_TEXT, "description": "Followed if it is the client's own"},
    "state": _TEXT,
    "client_id": _TEXT,
}
_REQUIRED: Final[dict[str, dict[str, Any]]] = {
    "response_type": {"const": "code"},
    "client_id": _CLIENT_ID,
    "redirect_uri": {**_URI, "examples": ["http://localhost:8401/oauth2callback"]},
    "scope": {**_SOME_TEXT, "examples": ["openid profile email"]},
    "nonce": {**_SOME_TEXT, "examples": ["n-0S6_WzA2Mj"]},
    "code_challenge": {
        **_TEXT,
        "pattern": "^[A-Za-z0-9_-]{43}$",
        "examples": ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
    },
    "code_challenge_method": {"const": "S256"},
}
_OPTIONAL: Final[dict[str, dict[str, Any]]] = {
    "state": {**_TEXT, "examples": ["af0ifjsldkj"]},
    "prompt": {**_TEXT, "description": "`none`, `login` or `select_account`"},
    "max_age": {**_TEXT, "description": "Seconds since the last log-in"},
}
_AUTHORIZED: Final = {
    "303": {"description": "To the log-in page, or back to the client"},
    "400": _html("The client or its redirect URI is not registered"),
}
_RETURN_TO: Final = {
    **_TEXT,
    "description": "The authorization request that the log-in is for",
    "examples": [
        "/oauth/authorize?"
        + urlencode(
            {name: kind.get("const") or kind["examples"][0] for name, kind in _REQUIRED.items()}
        )
    ],
}
_PROVIDER_ID: Final = {**_SOME_TEXT, "examples": ["0199c0de-0000-7000-8000-000000000001"]}
_LOGGED_OUT: Final = {
    "200": _html("Logged out, or a question whether to"),
    "303": {"description": "Logged out; back to the client"},
}
_USER_INFO: Final = {
    "tags": ["oauth"],
    "summary": "Claims about the person a token speaks for",
    "security": [{"bearer": []}],
    "responses": {"200": json_response("Claims", ref("UserInfo")), **_GATED},
}

OPENAPI: Final[dict[str, Any]] = {
    "paths": {
        "/oauth/token": {
            "post": {
                "tags": ["oauth"],
                "summary": "Get an access token",
                "description": (
                    "Client credentials, authorization code with PKCE, or (for the console) token"
                    " exchange. The client authenticates by Basic or by `client_secret`."
                ),
                "operationId": "issue_token",
                "security": _CLIENT_AUTH,
                "requestBody": _form(
                    ["grant_type"],
                    {
                        "grant_type": {
                            "type": "string",
                            "enum": [
                                "client_credentials",
                                "authorization_code",
                                TOKEN_EXCHANGE,
                            ],
                        },
                        "client_id": _TEXT,
                        "client_secret": {"type": "string", "format": "password"},
                        "scope": {"type": "string", "description": "Permissions, by spaces"},
                        "code": _TEXT,
                        "redirect_uri": _URI,
                        "code_verifier": _TEXT,
                        "subject_token": _TEXT,
                        "subject_token_type": _TEXT,
                        "tenant": {"type": "string", "format": "uuid"},
                    },
                ),
                "responses": {
                    "200": json_response("The token", ref("TokenResponse")),
                    **_OAUTH_ERRORS,
                },
            }
        },
        "/oauth/revoke": {
            "post": {
                "tags": ["oauth"],
                "summary": "Make an access token void (RFC 7009)",
                "operationId": "revoke_token",
                "security": _CLIENT_AUTH,
                "requestBody": _form(
                    ["token"],
                    {
                        "token": _SOME_TEXT,
                        "token_type_hint": _TEXT,
                        "client_id": _TEXT,
                        "client_secret": {"type": "string", "format": "password"},
                    },
                ),
                "responses": {"200": {"description": "Void, or never valid"}, **_OAUTH_ERRORS},
            }
        },
        "/oauth/authorize": {
            "get": {
                "tags": ["oauth"],
                "summary": "Begin a log-in (OpenID Connect, code with PKCE)",
                "operationId": "authorize",
                "security": [],
                "parameters": [
                    *(_query(name, kind, required=True) for name, kind in _REQUIRED.items()),
                    *(_query(name, kind) for name, kind in _OPTIONAL.items()),
                ],
                "responses": _AUTHORIZED,
            },
            "post": {
                "tags": ["oauth"],
                "summary": "Begin a log-in with a form",
                "operationId": "authorize_by_form",
                "security": [],
                "requestBody": _form(list(_REQUIRED), {**_REQUIRED, **_OPTIONAL}),
                "responses": _AUTHORIZED,
            },
        },
        "/oauth/login": {
            "get": {
                "tags": ["oauth"],
                "summary": "The log-in page",
                "operationId": "show_log_in",
                "security": [],
                "parameters": [_query("return_to", _RETURN_TO, required=True)],
                "responses": {
                    "200": _html("The form"),
                    "400": _html("It leads back to no request of ours"),
                },
            },
            "post": {
                "tags": ["oauth"],
                "summary": "Log in",
                "operationId": "log_in",
                "security": [],
                "requestBody": _form(
                    ["csrf", "return_to", "email", "password"],
                    {
                        "csrf": _TEXT,
                        "return_to": _RETURN_TO,
                        "email": {"type": "string", "format": "email"},
                        "password": {"type": "string", "format": "password"},
                    },
                ),
                "responses": {
                    "303": {"description": "To the authorization request, or to the second factor"},
                    "400": _html("It leads back to no request of ours"),
                    "401": _html("The e-mail or the password is not right"),
                    "403": _html("The form has expired"),
                    "429": _html("Too many failed attempts; see Retry-After"),
                },
            },
        },
        "/oauth/second-factor": {
            "get": {
                "tags": ["oauth"],
                "summary": "The page that asks for the second factor",
                "operationId": "show_second_factor",
                "security": [],
                "parameters": [_query("return_to", _RETURN_TO, required=True)],
                "responses": {
                    "200": _html("The form; the log-in page where no log-in waits for it"),
                    "400": _html("It leads back to no request of ours"),
                },
            },
            "post": {
                "tags": ["oauth"],
                "summary": "Give the second factor",
                "operationId": "give_second_factor",
                "security": [],
                "requestBody": _form(
                    ["csrf", "return_to", "code"],
                    {
                        "csrf": _TEXT,
                        "return_to": _RETURN_TO,
                        "code": {
                            "type": "string",
                            "description": "Of the authenticator app, or a recovery code",
                        },
                    },
                ),
                "responses": {
                    "200": _html("Logged in, and the recovery codes of a new second factor"),
                    "303": {"description": "Logged in; back to the authorization request"},
                    "400": _html("It leads back to no request of ours"),
                    "401": _html("The code is not right, or no log-in waits for one"),
                    "403": _html("The form has expired"),
                    "429": _html("Too many failed attempts; see Retry-After"),
                },
            },
        },
        "/oauth/external": {
            "get": {
                "tags": ["oauth"],
                "summary": "The page that asks which organisation one signs in with",
                "operationId": "show_external_log_in",
                "security": [],
                "parameters": [_query("return_to", _RETURN_TO, required=True)],
                "responses": {
                    "200": _html("The form"),
                    "400": _html("It leads back to no request of ours"),
                },
            },
            "post": {
                "tags": ["oauth"],
                "summary": "Find the organisation of an e-mail address",
                "operationId": "begin_external_log_in",
                "security": [],
                "requestBody": _form(
                    ["csrf", "return_to", "email"],
                    {
                        "csrf": _TEXT,
                        "return_to": _RETURN_TO,
                        "email": {"type": "string", "format": "email"},
                    },
                ),
                "responses": {
                    "200": _html("The way to the organisation's identity provider"),
                    "400": _html("It leads back to no request of ours"),
                    "403": _html("The form has expired"),
                    "404": _html("No organisation signs in with this address"),
                    "429": _html("Too many failed attempts; see Retry-After"),
                    "502": _html("The identity provider does not answer as it should"),
                },
            },
        },
        "/oauth/external/{provider_id}/callback": {
            "get": {
                "tags": ["oauth"],
                "summary": "Where a tenant's identity provider sends the browser back to",
                "operationId": "end_external_log_in",
                "security": [],
                "parameters": [
                    {"name": "provider_id", "in": "path", "required": True, "schema": _PROVIDER_ID},
                    *(_query(name, _TEXT) for name in ("code", "state", "iss", "error")),
                ],
                "responses": {
                    "303": {"description": "To the authorization request, or a second factor"},
                    "401": _html("What came back does not hold, or there is no place here"),
                    "429": _html("Too many failed attempts; see Retry-After"),
                },
            },
        },
        "/oauth/logout": {
            "get": {
                "tags": ["oauth"],
                "summary": "Log out (OpenID Connect RP-initiated)",
                "operationId": "log_out",
                "security": [],
                "parameters": [_query(name, kind) for name, kind in _LOG_OUT.items()],
                "responses": _LOGGED_OUT,
            },
            "post": {
                "tags": ["oauth"],
                "summary": "Log out with a form",
                "operationId": "log_out_by_form",
                "security": [],
                "requestBody": _form([], {**_LOG_OUT, "csrf": _TEXT}),
                "responses": _LOGGED_OUT,
            },
        },
        "/oauth/userinfo": {
            "get": {**_USER_INFO, "operationId": "get_user_info"},
            "post": {**_USER_INFO, "operationId": "post_user_info"},
        },
        "/oauth/jwks": {
            "get": {
                "tags": ["oauth"],
                "summary": "The public keys that verify our tokens",
                "operationId": "get_jwks",
                "security": [],
                "responses": {
                    "200": {
                        "description": "RFC 7517",
                        "content": {"application/jwk-set+json": {"schema": {"type": "object"}}},
                    }
                },
            }
        },
        "/.well-known/openid-configuration": _METADATA,
        "/.well-known/oauth-authorization-server": {
            "get": {**_METADATA["get"], "operationId": "get_oauth_metadata"}
        },
    },
    "components": {
        "securitySchemes": {
            "clientBasic": {
                "type": "http",
                "scheme": "basic",
                "description": "An OAuth client's id and secret",
            },
            "oauth2": {
                "type": "oauth2",
                "description": "How a client gets its access token; scopes are permissions",
                "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
            },
        },
        "schemas": {
            "OAuthError": {
                "type": "object",
                "title": "OAuthError",
                "required": ["error"],
                "properties": {
                    "error": _TEXT,
                    "error_description": _TEXT,
                    "code": {**_TEXT, "description": "A problem's, such as `tenant.suspended`"},
                    "detail": {**_TEXT, "description": "A problem's: why the tenant is suspended"},
                },
            },
            "TokenResponse": {
                "type": "object",
                "title": "TokenResponse",
                "required": ["access_token", "token_type", "expires_in"],
                "properties": {
                    "access_token": _TEXT,
                    "token_type": {"const": "Bearer"},
                    "expires_in": _SECONDS,
                    "scope": _TEXT,
                    "id_token": _TEXT,
                    "issued_token_type": _TEXT,
                    "tenant": {"type": "string", "format": "uuid"},
                },
            },
            "UserInfo": {
                "type": "object",
                "title": "UserInfo",
                "required": ["sub"],
                "properties": {"sub": _TEXT, "name": _TEXT, "email": _TEXT},
            },
        },
    },
}
"""For the application to merge into its document: ``paths`` and ``components``."""
