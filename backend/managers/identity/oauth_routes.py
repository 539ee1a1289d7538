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
from backend.managers.identity._external import EXTERNAL_PATH
from backend.managers.identity._external_log_ins import TRIP_SECONDS, ExternalLogIns
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
from backend.managers.identity._logins import HalfWay, NewSession, Peer
from backend.managers.identity._oauth import (
    AUTH_METHODS,
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    IDENTITY_SCOPES,
    ONE_FACTOR,
    TOKEN_EXCHANGE,
    TWO_FACTORS,
    Answer,
)
from backend.managers.identity._openapi import OPENAPI
from backend.managers.identity._people_openapi import PATHS
from backend.managers.identity._provider import (
    AUTHORIZE_PATH,
    CALLBACK_ROUTE,
    LOGIN_PATH,
    REVOKE_PATH,
    SECOND_FACTOR_PATH,
    TOKEN_PATH,
    AskLogIn,
    OpenIdProvider,
    Refused,
    without_prompt,
)
from backend.managers.identity._providers import IdentityProvider
from backend.managers.identity._totp import enrolment_of
from backend.managers.identity.errors import (
    CodeRefusedError,
    CredentialInvalidError,
    ExternalLogInError,
    LogInExpiredError,
    LoginRefusedError,
    SecondFactorExistsError,
    TooManyFailuresError,
)
from backend.managers.identity.manager import IdentityManager
from backend.managers.identity.people_pages import people_pages

__all__ = ["DOCUMENT", "SESSION_COOKIE", "oauth_routes"]

DOCUMENT: Final = {**OPENAPI, "paths": OPENAPI["paths"] | PATHS}

SECOND_FACTOR_COOKIE: Final = "email_sender_second_factor"
EXTERNAL_COOKIE: Final = "email_sender_external"
_METADATA_SECONDS: Final = 300


def oauth_routes(identity: IdentityManager) -> list[Route]:
    """The Starlette routes of the issuer, for the application to mount at its root."""
    face = _Face(identity.provider, identity.external_log_ins)
    return [
        Route(TOKEN_PATH, face.token, methods=["POST"]),
        Route(REVOKE_PATH, face.revoke, methods=["POST"]),
        Route(AUTHORIZE_PATH, face.authorize, methods=["GET", "POST"]),
        Route(LOGIN_PATH, face.show_log_in, methods=["GET"]),
        Route(LOGIN_PATH, face.log_in, methods=["POST"]),
        Route(SECOND_FACTOR_PATH, face.show_second_factor, methods=["GET"]),
        Route(SECOND_FACTOR_PATH, face.second_factor, methods=["POST"]),
        Route(EXTERNAL_PATH, face.show_elsewhere, methods=["GET"]),
        Route(EXTERNAL_PATH, face.leave, methods=["POST"]),
        Route(CALLBACK_ROUTE, face.arrive, methods=["GET"]),
        Route("/oauth/logout", face.log_out, methods=["GET", "POST"]),
        Route("/oauth/userinfo", face.user_info, methods=["GET", "POST"]),
        Route("/oauth/jwks", face.jwks, methods=["GET"]),
        Route("/.well-known/openid-configuration", face.metadata, methods=["GET"]),
        Route("/.well-known/oauth-authorization-server", face.metadata, methods=["GET"]),
        *people_pages(identity),
    ]


class _Face:
    """One method an endpoint."""

    def __init__(self, provider: OpenIdProvider, external: ExternalLogIns) -> None:
        self._provider = provider
        self._external = external
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
        elsewhere = await self._external.provider_of(email)
        if elsewhere is not None and elsewhere.enforced:
            # Before the password is looked at: here it opens nothing, right or wrong.
            return await self._departure(request, elsewhere, return_to, email)
        try:
            outcome = await self._provider.log_ins.start(
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
        if isinstance(outcome, HalfWay):
            query = urlencode({"return_to": return_to})
            answer = RedirectResponse(f"{SECOND_FACTOR_PATH}?{query}", 303, headers=NO_STORE)
            set_cookie(answer, self._settings, SECOND_FACTOR_COOKIE, outcome.token, outcome.seconds)
            return answer
        answer = RedirectResponse(without_prompt(return_to), 303, headers=NO_STORE)
        return self._logged_in(answer, outcome)

    def _logged_in(self, answer: Response, session: NewSession) -> Response:
        set_cookie(answer, self._settings, SESSION_COOKIE, session.cookie, session.seconds)
        if session.device:
            set_cookie(answer, self._settings, DEVICE_COOKIE, session.device, DEVICE_SECONDS)
        for name in (FORM_COOKIE, SECOND_FACTOR_COOKIE):
            answer.delete_cookie(name, path=COOKIE_PATH)
        return answer

    async def _elsewhere(self, return_to: str) -> str:
        offered = await self._external.are_offered()
        return f"{EXTERNAL_PATH}?{urlencode({'return_to': return_to})}" if offered else ""

    async def show_elsewhere(self, request: Request) -> Response:
        return await self._elsewhere_page(request, request.query_params.get("return_to", ""))

    async def leave(self, request: Request) -> Response:
        form = dict(await read_form(request) or [])
        return_to, email = form.get("return_to", ""), form.get("email", "")
        if await self._provider.log_in_context(return_to) is None:
            return await self._elsewhere_page(request, return_to)
        if not is_own_form(request, form):
            problem = "The form has expired. Try again."
            return await self._elsewhere_page(request, return_to, problem, email, status=403)
        provider = await self._external.provider_of(email)
        if provider is None:
            problem = "No organisation here signs in with this address."
            return await self._elsewhere_page(request, return_to, problem, email, status=404)
        return await self._departure(request, provider, return_to, email)

    async def _departure(
        self, request: Request, provider: IdentityProvider, return_to: str, email: str
    ) -> Response:
        back = f"{LOGIN_PATH}?{urlencode({'return_to': return_to})}"
        try:
            departure = await self._external.depart(
                provider, return_to, email=email[:254], peer=peer_of(request)
            )
        except ExternalLogInError:
            page = _pages.message_page(
                title="Sign in with your organisation",
                lead="",
                problem=f"{provider.name} does not answer as it should. Try again later.",
            )
            return HTMLResponse(page, 502, headers=_pages.headers())
        except TooManyFailuresError as exc:
            page = _pages.message_page(
                title="Sign in with your organisation", lead="", problem=f"{exc.title}."
            )
            return HTMLResponse(page, 429, headers={**_pages.headers(), **exc.headers})
        page = _pages.departure_page(name=provider.name, address=departure.address, back=back)
        answer = HTMLResponse(page, headers=_pages.headers())
        set_cookie(answer, self._settings, EXTERNAL_COOKIE, departure.cookie, TRIP_SECONDS)
        return answer

    async def _elsewhere_page(
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
            return await self._log_in_page(request, return_to)
        cookie, csrf = form_token(request)
        page = _pages.elsewhere_page(
            csrf=csrf,
            return_to=return_to,
            back=f"{LOGIN_PATH}?{urlencode({'return_to': return_to})}",
            email=email[:254],
            problem=problem,
        )
        answer = HTMLResponse(page, status, headers=_pages.headers())
        set_cookie(answer, self._settings, FORM_COOKIE, cookie, None)
        return answer

    async def arrive(self, request: Request) -> Response:
        pairs = request.query_params.multi_items()
        given = dict(pairs)
        try:
            if len(given) != len(pairs):
                raise ExternalLogInError("parameters")
            arrival = await self._external.arrive(
                request.path_params["provider_id"],
                given,
                cookie=request.cookies.get(EXTERNAL_COOKIE),
                replaces=request.cookies.get(SESSION_COOKIE),
                peer=peer_of(request),
            )
        except ExternalLogInError as exc:
            page = _pages.message_page(
                title=exc.title,
                lead="Nothing was opened. Begin again where you came from; if it happens again, "
                "ask the people who run your organisation's sign-in.",
                problem=f"{exc.title}.",
            )
            answer: Response = HTMLResponse(page, 401, headers=_pages.headers())
            answer.delete_cookie(EXTERNAL_COOKIE, path=COOKIE_PATH)
            return answer
        except TooManyFailuresError as exc:
            page = _pages.message_page(title=exc.title, lead="", problem=f"{exc.detail}.")
            return HTMLResponse(page, 429, headers={**_pages.headers(), **exc.headers})
        if isinstance(arrival.outcome, HalfWay):
            query = urlencode({"return_to": arrival.return_to})
            answer = RedirectResponse(f"{SECOND_FACTOR_PATH}?{query}", 303, headers=NO_STORE)
            token, seconds = arrival.outcome
            set_cookie(answer, self._settings, SECOND_FACTOR_COOKIE, token, seconds)
        else:
            answer = RedirectResponse(without_prompt(arrival.return_to), 303, headers=NO_STORE)
            answer = self._logged_in(answer, arrival.outcome)
        answer.delete_cookie(EXTERNAL_COOKIE, path=COOKIE_PATH)
        return answer

    async def show_second_factor(self, request: Request) -> Response:
        return await self._second_factor_page(request, request.query_params.get("return_to", ""))

    async def second_factor(self, request: Request) -> Response:
        form = dict(await read_form(request) or [])
        return_to = form.get("return_to", "")
        if await self._provider.log_in_context(return_to) is None:
            return await self._second_factor_page(request, return_to)
        if not is_own_form(request, form):
            problem = "The form has expired. Try again."
            return await self._second_factor_page(request, return_to, problem, status=403)
        try:
            session, codes = await self._provider.log_ins.finish(
                request.cookies.get(SECOND_FACTOR_COOKIE, ""),
                form.get("code", ""),
                replaces=request.cookies.get(SESSION_COOKIE),
                peer=peer_of(request),
                device=request.cookies.get(DEVICE_COOKIE),
            )
        except LogInExpiredError as exc:
            return await self._log_in_page(request, return_to, f"{exc.title}.", status=401)
        except (CodeRefusedError, SecondFactorExistsError) as exc:
            problem = f"{exc.title}."
            return await self._second_factor_page(request, return_to, problem, status=401)
        except TooManyFailuresError as exc:
            problem = f"{exc.title}. {exc.detail}."
            page = await self._second_factor_page(request, return_to, problem, status=429)
            page.headers.update(exc.headers)
            return page
        onward = without_prompt(return_to)
        if codes:
            shown = _pages.recovery_codes_page(codes=codes, return_to=onward)
            answer: Response = HTMLResponse(shown, headers=_pages.headers())
        else:
            answer = RedirectResponse(onward, 303, headers=NO_STORE)
        return self._logged_in(answer, session)

    async def _second_factor_page(
        self, request: Request, return_to: str, problem: str = "", *, status: int = 200
    ) -> Response:
        context = await self._provider.log_in_context(return_to)
        token = request.cookies.get(SECOND_FACTOR_COOKIE)
        awaited = await self._provider.log_ins.find_half_way(token)
        if context is None or awaited is None:
            # Nothing waits here, or no longer: from the beginning, where there is one.
            return await self._log_in_page(request, return_to, problem, status=status)
        cookie, csrf = form_token(request)
        enrolment = awaited.secret and enrolment_of(awaited.secret, awaited.user.email)
        page = _pages.second_factor_page(
            csrf=csrf, return_to=return_to, enrolment=enrolment or None, problem=problem
        )
        headers = _pages.headers(redirect_origin=context.redirect_origin)
        answer = HTMLResponse(page, status, headers=headers)
        set_cookie(answer, self._settings, FORM_COOKIE, cookie, None)
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
            elsewhere=await self._elsewhere(return_to),
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
            "acr",
            "sid",
            "name",
            "email",
        ],
        "acr_values_supported": [ONE_FACTOR, TWO_FACTORS],
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
