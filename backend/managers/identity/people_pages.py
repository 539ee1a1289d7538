"""Pages on which people come in by themselves: invitations, forgotten passwords. No rules here."""

import asyncio
from typing import Final
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from backend.core.errors import AppError
from backend.managers.identity import _pages
from backend.managers.identity._accounts import RESET_PATH
from backend.managers.identity._devices import DEVICE_SECONDS
from backend.managers.identity._forms import (
    DEVICE_COOKIE,
    FORM_COOKIE,
    SESSION_COOKIE,
    form_token,
    is_own_form,
    peer_of,
    read_form,
    set_cookie,
)
from backend.managers.identity._invitations import INVITATION_PATH, Offer
from backend.managers.identity._logins import LogIn
from backend.managers.identity._password import MIN_PASSWORD_CHARACTERS, refuse_weak
from backend.managers.identity._provider import LOGIN_PATH
from backend.managers.identity.errors import LogInFirstError, ResetUnknownError, WeakPasswordError
from backend.managers.identity.manager import IdentityManager
from backend.managers.tenant import MemberExistsError, StockReachedError, hash_password

_MAX_NAME: Final = 100
_MAX_EMAIL: Final = 254

_NEW_PASSWORD: Final = """<label for="password">{{ label }}</label>
<input id="password" name="password" type="password" autocomplete="new-password" required
minlength="{{ least }}" maxlength="1024" aria-describedby="rule{% if problem %} problem{% endif %}">
<p class="hint" id="rule">At least {{ least }} characters. A few words in a row are fine.</p>
<label for="again">The same again</label>
<input id="again" name="again" type="password" autocomplete="new-password" required
maxlength="1024">
"""

_SET_UP: Final = (
    """{% extends "page" %}{% block content %}
<form method="post" action="{{ action }}">
<input type="hidden" name="csrf" value="{{ csrf }}">
<input type="hidden" name="token" value="{{ token }}">
<label for="email">E-mail</label>
<input id="email" type="email" autocomplete="username" value="{{ email }}" readonly>
<label for="name">Your name</label>
<input id="name" name="name" autocomplete="name" required maxlength="100" value="{{ name }}">
"""
    + _NEW_PASSWORD.replace("{{ label }}", "Choose a password")
    + """<button type="submit">Accept invitation</button>
</form>
{% endblock %}"""
)

_CONFIRM: Final = """{% extends "page" %}{% block content %}
<form method="post" action="{{ action }}">
<input type="hidden" name="csrf" value="{{ csrf }}">
<input type="hidden" name="token" value="{{ token }}">
<button type="submit">Accept invitation</button>
</form>
{% endblock %}"""

_FORGOT: Final = """{% extends "page" %}{% block content %}
<form method="post" action="{{ action }}">
<input type="hidden" name="csrf" value="{{ csrf }}">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required maxlength="254"
autofocus>
<button type="submit">Send a link</button>
</form>
{% endblock %}"""

_NEW: Final = (
    """{% extends "page" %}{% block content %}
<form method="post" action="{{ action }}">
<input type="hidden" name="csrf" value="{{ csrf }}">
<input type="hidden" name="token" value="{{ token }}">
<input type="hidden" autocomplete="username" value="{{ email }}">
"""
    + _NEW_PASSWORD.replace("{{ label }}", "New password")
    + """<button type="submit">Set password</button>
</form>
{% endblock %}"""
)

_GO_ON: Final = """{% extends "page" %}{% block content %}
{% if link %}<a class="button" href="{{ link }}">{{ button }}</a>{% endif %}
{% endblock %}"""

_templates: Final = _pages.ENVIRONMENT.overlay(
    loader=jinja2.ChoiceLoader(
        [
            jinja2.DictLoader(
                {
                    "set_up": _SET_UP,
                    "confirm": _CONFIRM,
                    "forgot": _FORGOT,
                    "new": _NEW,
                    "go_on": _GO_ON,
                }
            ),
            _pages.ENVIRONMENT.loader or jinja2.DictLoader({}),
        ]
    )
)


def people_pages(identity: IdentityManager) -> list[Route]:
    """The routes of these pages."""
    face = _Face(identity)
    return [
        Route(INVITATION_PATH, face.show_invitation, methods=["GET"]),
        Route(INVITATION_PATH, face.accept_invitation, methods=["POST"]),
        Route(RESET_PATH, face.show_reset, methods=["GET"]),
        Route(RESET_PATH, face.reset, methods=["POST"]),
    ]


class _Face:
    """One method a page and method."""

    def __init__(self, identity: IdentityManager) -> None:
        self._identity = identity
        self._settings = identity.settings

    async def show_invitation(self, request: Request) -> Response:
        return await self._invitation(request, request.query_params.get("token", ""))

    async def accept_invitation(self, request: Request) -> Response:
        form = dict(await read_form(request) or [])
        token = form.get("token", "")
        if not is_own_form(request, form):
            problem = "The form has expired. Try again."
            return await self._invitation(request, token, problem, status=403)
        try:
            offer = await self._identity.invitations.find(token, peer_of(request))
        except AppError as exc:
            return _refused(exc)
        log_in = await self._log_in(request)
        name, password = form.get("name", "").strip(), form.get("password", "")
        hashed = None
        if offer.known is None:
            try:
                if not name or len(name) > _MAX_NAME or not name.isprintable():
                    raise WeakPasswordError("Your name, please: up to 100 characters.")
                _refuse_unequal(password, form.get("again", ""))
                refuse_weak(password, offer.email)
            except WeakPasswordError as exc:
                return await self._invitation(request, token, exc.detail, name, status=422)
            hashed = await asyncio.to_thread(hash_password, password)
        try:
            console = await self._identity.invitations.accept(
                token,
                peer_of(request),
                user=log_in.user if log_in is not None else None,
                name=name,
                password_hash=hashed,
            )
        except LogInFirstError:
            return await self._invitation(request, token, status=403)
        except AppError as exc:
            return _refused(exc)
        return _page(
            "go_on",
            title=f"Welcome to {offer.tenant.name}",
            lead="You are a member now.",
            link=console,
            button="Open the console",
        )

    async def _invitation(
        self, request: Request, token: str, problem: str = "", name: str = "", *, status: int = 200
    ) -> Response:
        """What the link offers, to whoever is logged in or nobody is."""
        try:
            offer = await self._identity.invitations.find(token, peer_of(request))
        except AppError as exc:
            return _refused(exc)
        log_in = await self._log_in(request)
        if offer.known is not None and (log_in is None or log_in.user.id != offer.known.id):
            return self._log_in_first(offer, log_in, token, status)
        cookie, csrf = form_token(request)
        answer = _page(
            "confirm" if offer.known is not None else "set_up",
            status=status,
            title=f"Join {offer.tenant.name}",
            lead=f"You are invited as {offer.role}."
            + (f" You are logged in as {offer.known.email}." if offer.known is not None else ""),
            problem=problem,
            action=INVITATION_PATH,
            csrf=csrf,
            token=token,
            email=offer.email,
            name=name or offer.name,
            least=MIN_PASSWORD_CHARACTERS,
        )
        set_cookie(answer, self._settings, FORM_COOKIE, cookie, None)
        return answer

    @staticmethod
    def _log_in_first(offer: Offer, log_in: LogIn | None, token: str, status: int) -> Response:
        return_to = f"{INVITATION_PATH}?{urlencode({'token': token})}"
        others = f"You are logged in as {log_in.user.email}. " if log_in is not None else ""
        return _page(
            "go_on",
            status=status,
            title=f"Join {offer.tenant.name}",
            lead=f"{others}This invitation is for {offer.email}. Log in as that person to accept.",
            link=f"{LOGIN_PATH}?{urlencode({'return_to': return_to})}",
            button=f"Log in as {offer.email}",
        )

    async def show_reset(self, request: Request) -> Response:
        """Ask for the e-mail, or, for who has a link, for the new password."""
        return await self._reset(request, request.query_params.get("token", ""))

    async def reset(self, request: Request) -> Response:
        """Have a link mailed, or set the password by one."""
        form = dict(await read_form(request) or [])
        token = form.get("token", "")
        if not is_own_form(request, form):
            problem = "The form has expired. Try again."
            return await self._reset(request, token, problem, status=403)
        accounts, peer = self._identity.accounts, peer_of(request)
        try:
            if not token:
                await accounts.request_reset(form.get("email", "")[:_MAX_EMAIL], peer)
                return _page(
                    "go_on",
                    title="Look into your mail",
                    lead="If somebody logs in with this e-mail, a link is on its way. It works for "
                    f"{self._settings.reset_seconds // 60} minutes.",
                    link="",
                )
            password = form.get("password", "")
            _refuse_unequal(password, form.get("again", ""))
            device = await accounts.reset_password(token, password, peer)
        except WeakPasswordError as exc:
            return await self._reset(request, token, exc.detail, status=422)
        except AppError as exc:
            return _refused(exc)
        answer = _page(
            "go_on",
            title="Your password is set",
            lead="All your log-ins have ended. Open the console and log in with the new password.",
            link="",
        )
        set_cookie(answer, self._settings, DEVICE_COOKIE, device, DEVICE_SECONDS)
        return answer

    async def _reset(
        self, request: Request, token: str, problem: str = "", *, status: int = 200
    ) -> Response:
        accounts = self._identity.accounts
        if not accounts.can_reset:
            return _page(
                "go_on",
                title="Forgot your password?",
                lead="This installation sends no mail. Ask whoever runs it for a new password.",
                link="",
            )
        email = ""
        if token:
            try:
                email = (await accounts.find_reset(token, peer_of(request))).email
            except AppError as exc:
                return _refused(exc)
        cookie, csrf = form_token(request)
        answer = _page(
            "new" if token else "forgot",
            status=status,
            title="Set a new password" if token else "Forgot your password?",
            lead=f"for {email}" if token else "A link to set a new one comes by mail.",
            problem=problem,
            action=RESET_PATH,
            csrf=csrf,
            token=token,
            email=email,
            least=MIN_PASSWORD_CHARACTERS,
        )
        set_cookie(answer, self._settings, FORM_COOKIE, cookie, None)
        return answer

    async def _log_in(self, request: Request) -> LogIn | None:
        return await self._identity.provider.log_ins.find(request.cookies.get(SESSION_COOKIE))


def _refuse_unequal(password: str, again: str) -> None:
    if password != again:
        raise WeakPasswordError("The two passwords are not the same.")


def _page(
    template: str, *, title: str, lead: str, problem: str = "", status: int = 200, **values: object
) -> HTMLResponse:
    page = _templates.get_template(template).render(
        title=title, lead=lead, problem=problem, **values
    )
    return HTMLResponse(page, status, headers=_pages.headers())


def _refused(error: AppError) -> Response:
    """Why a link does not work, in words for whoever opened it."""
    title, lead = error.title, error.detail or "Ask whoever invited you to send another one."
    if isinstance(error, ResetUnknownError):
        lead = "It was used already, or its time is over. Ask for another one on the log-in page."
    if isinstance(error, MemberExistsError):
        title, lead = "You are a member already", "Open the console and log in."
    if isinstance(error, StockReachedError):
        title = "There is no room for another member"
        lead = (
            "The tenant has as many as its plan allows. Once there is room this link works again."
        )
    page = _pages.message_page(title=title, lead=lead)
    headers = {**_pages.headers(), **error.headers}
    return HTMLResponse(page, error.status, headers=headers)
