"""HTTP face of OAuth 2 and OpenID Connect: forms, cookies, redirects, metadata. No rules here."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from backend.core.context import Principal
from backend.managers.identity import _pages
from backend.managers.identity._devices import DEVICE_SECONDS
from backend.managers.identity._forms import (
    COOKIE_PATH,
    DEVICE_COOKIE,
    FORM_COOKIE,
    FORM_TYPE,
    NO_STORE,
    SESSION_COOKIE,
    Pairs,
    form_token,
    is_own_form,
    peer_of,
    read_form,
    set_cookie,
)
from backend.managers.identity._logins import Peer
from backend.managers.identity._oauth import (
    AUTH_METHODS,
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    IDENTITY_SCOPES,
    TOKEN_EXCHANGE,
    Answer,
)
from backend.managers.identity._openapi import OPENAPI
from backend.managers.identity._provider import (
    AUTHORIZE_PATH,
    LOGIN_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    AskLogIn,
    OpenIdProvider,
    Refused,
    without_prompt,
)
from backend.managers.identity.errors import (
    CredentialInvalidError,
    LoginRefusedError,
    TooManyFailuresError,
)
from backend.managers.identity.manager import IdentityManager
from backend.managers.identity.people_pages import people_pages

__all__ = ["OPENAPI", "SESSION_COOKIE", "oauth_routes"]

_METADATA_SECONDS: Final = 300


def oauth_routes(identity: IdentityManager) -> list[Route]:
    """The Starlette routes of the issuer, for the application to mount at its root."""
    face = _Face(identity.provider)
    return [
        Route(TOKEN_PATH, face.token, methods=["POST"]),
        Route(REVOKE_PATH, face.revoke, methods=["POST"]),
        Route(AUTHORIZE_PATH, face.authorize, methods=["GET", "POST"]),
        Route(LOGIN_PATH, face.show_log_in, methods=["GET"]),
        Route(LOGIN_PATH, face.log_in, methods=["POST"]),
        Route("/oauth/logout", face.log_out, methods=["GET", "POST"]),
        Route("/oauth/userinfo", face.user_info, methods=["GET", "POST"]),
        Route("/oauth/jwks", face.jwks, methods=["GET"]),
        Route("/.well-known/openid-configuration", face.metadata, methods=["GET"]),
        Route("/.well-known/oauth-authorization-server", face.metadata, methods=["GET"]),
        *people_pages(identity),
    ]


class _Face:
    """One method an endpoint."""

    def __init__(self, provider: OpenIdProvider) -> None:
        self._provider = provider
        self._settings = provider.settings
        described = metadata(self._settings.issuer, provider.permissions)
        self._metadata = msgspec.json.encode({**described, **provider.advertised})

    async def token(self, request: Request) -> Response:
        return await self._answer_form(request, self._provider.issue_token)

    async def revoke(self, request: Request) -> Response:
        return await self._answer_form(request, self._provider.revoke_token)

    async def _answer_form(
        self, request: Request, act: Callable[[Pairs, str | None, Peer], Awaitable[Answer]]
    ) -> Response:
        form = await read_form(request)
        if form is None:
            return _json(
                Answer(
                    400,
                    {
                        "error": "invalid_request",
                        "error_description": f"The body is not {FORM_TYPE}",
                    },
                    {},
                )
            )
        return _json(await act(form, request.headers.get("authorization"), peer_of(request)))

    async def authorize(self, request: Request) -> Response:
        parameters: Pairs | None = list(request.query_params.multi_items())
        if request.method == "POST":
            parameters = await read_form(request)
        if parameters is None:
            return _refusal_page("invalid_request", f"The body is not {FORM_TYPE}")
        log_in = await self._provider.log_ins.find(request.cookies.get(SESSION_COOKIE))
        outcome = await self._provider.authorize(parameters, log_in, peer_of(request))
        if isinstance(outcome, Refused):
            return _refusal_page(outcome.error, outcome.description)
        if isinstance(outcome, AskLogIn):
            query = urlencode({"return_to": outcome.return_to})
            return RedirectResponse(f"/oauth/login?{query}", 303, headers=NO_STORE)
        return RedirectResponse(outcome.location, 303, headers=NO_STORE)

    async def show_log_in(self, request: Request) -> Response:
        return await self._log_in_page(request, request.query_params.get("return_to", ""))

    async def log_in(self, request: Request) -> Response:
        form = dict(await read_form(request) or [])
        return_to, email = form.get("return_to", ""), form.get("email", "")
        context = await self._provider.log_in_context(return_to)
        if context is None:
            return await self._log_in_page(request, return_to)
        if not is_own_form(request, form):
            problem = "The form has expired. Try again."
            return await self._log_in_page(request, return_to, problem, email, status=403)
        try:
            session = await self._provider.log_ins.start(
                email,
                form.get("password", ""),
                replaces=request.cookies.get(SESSION_COOKIE),
                peer=peer_of(request),
                device=request.cookies.get(DEVICE_COOKIE),
            )
        except LoginRefusedError as exc:
            return await self._log_in_page(request, return_to, f"{exc.title}.", email, status=401)
        except TooManyFailuresError as exc:
            problem = f"{exc.title}. {exc.detail}."
            page = await self._log_in_page(request, return_to, problem, email, status=429)
            page.headers.update(exc.headers)
            return page
        answer = RedirectResponse(without_prompt(return_to), 303, headers=NO_STORE)
        set_cookie(answer, self._settings, SESSION_COOKIE, session.cookie, session.seconds)
        set_cookie(answer, self._settings, DEVICE_COOKIE, session.device, DEVICE_SECONDS)
        answer.delete_cookie(FORM_COOKIE, path=COOKIE_PATH)
        return answer

    async def _log_in_page(
        self,
        request: Request,
        return_to: str,
        problem: str = "",
        email: str = "",
        *,
        status: int = 200,
    ) -> Response:
        context = await self._provider.log_in_context(return_to)
        if context is None:
            lead = "Open the page you want to use; it leads you here when a log-in is needed."
            page = _pages.message_page(title="Nothing to log in to", lead=lead)
            return HTMLResponse(page, 400, headers=_pages.headers())
        cookie, csrf = form_token(request)
        page = _pages.log_in_page(
            csrf=csrf,
            return_to=return_to,
            client_name=context.client_name,
            email=email[:254],
            problem=problem,
        )
        headers = _pages.headers(redirect_origin=context.redirect_origin)
        answer = HTMLResponse(page, status, headers=headers)
        set_cookie(answer, self._settings, FORM_COOKIE, cookie, None)
        return answer

    async def log_out(self, request: Request) -> Response:
        """RP-initiated log-out: at once for whoever brings an id token, else after asking."""
        given = dict(request.query_params)
        if request.method == "POST":
            given = dict(await read_form(request) or [])
        log_in = await self._provider.log_ins.find(request.cookies.get(SESSION_COOKIE))
        redirect_uri = given.get("post_logout_redirect_uri", "")
        hint = await self._provider.read_log_out_hint(given.get("id_token_hint", ""), redirect_uri)
        ends: list[str] = []
        actor = "system"
        if hint is not None:
            claims, may_redirect = hint
            ends.append(claims.session_id)
            actor = f"user:{claims.user_id}"
            if log_in is not None and log_in.user.id == claims.user_id:
                ends.append(log_in.session_id)
        elif log_in is None:
            may_redirect = False
        elif request.method == "POST" and is_own_form(request, given):
            may_redirect = False
            ends.append(log_in.session_id)
            actor = f"user:{log_in.user.id}"
        else:
            cookie, csrf = form_token(request)
            page = _pages.log_out_page(csrf=csrf, name=log_in.user.name or log_in.user.email)
            answer: Response = HTMLResponse(page, headers=_pages.headers())
            set_cookie(answer, self._settings, FORM_COOKIE, cookie, None)
            return answer
        if ends:
            await self._provider.log_ins.end(ends, actor=actor, peer=peer_of(request))
        if may_redirect:
            state = {"state": given["state"]} if "state" in given else {}
            joint = "&" if "?" in redirect_uri else "?"
            target = f"{redirect_uri}{joint}{urlencode(state)}" if state else redirect_uri
            answer = RedirectResponse(target, 303, headers=NO_STORE)
        else:
            page = _pages.message_page(title="Logged out", lead="You can close this page.")
            answer = HTMLResponse(page, headers=_pages.headers())
        if log_in is not None and log_in.session_id in ends:
            answer.delete_cookie(SESSION_COOKIE, path=COOKIE_PATH)
        return answer

    async def user_info(self, request: Request) -> Response:
        principal: Principal | None = request.scope.get("principal")
        if principal is None or principal.kind != "user":
            raise CredentialInvalidError
        return _json(Answer(200, await self._provider.user_info(principal.subject), NO_STORE))

    async def jwks(self, request: Request) -> Response:
        del request
        # Short: whoever meets an unknown key id should find it here within the minute.
        headers = {"Cache-Control": "public, max-age=60"}
        keys = await self._provider.public_keys()
        return Response(keys, headers=headers, media_type="application/jwk-set+json")

    async def metadata(self, request: Request) -> Response:
        del request
        headers = {"Cache-Control": f"public, max-age={_METADATA_SECONDS}"}
        return Response(self._metadata, headers=headers, media_type="application/json")


def metadata(issuer: str, permissions: Iterable[str]) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0 and RFC 8414 in one document."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "jwks_uri": f"{issuer}/oauth/jwks",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "end_session_endpoint": f"{issuer}/oauth/logout",
        "scopes_supported": [*IDENTITY_SCOPES, *sorted(permissions)],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [AUTHORIZATION_CODE, CLIENT_CREDENTIALS, TOKEN_EXCHANGE],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "nonce",
            "auth_time",
            "amr",
            "sid",
            "name",
            "email",
        ],
        "prompt_values_supported": ["none", "login", "select_account"],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def _json(answer: Answer) -> Response:
    content = msgspec.json.encode(answer.body) if answer.body else b""
    headers = {**NO_STORE, **answer.headers}
    headers.pop("Content-Type", None)
    media_type = "application/json" if content else None
    return Response(content, answer.status, headers=headers, media_type=media_type)


def _refusal_page(error: str, description: str) -> Response:
    page = _pages.message_page(
        title="This log-in cannot go on",
        lead="The page that sent you here asked for something that is not allowed.",
        problem=f"{description} ({error})",
    )
    return HTMLResponse(page, 400, headers=_pages.headers())
