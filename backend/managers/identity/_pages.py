"""The pages people see: log in, second factor, log out, and what went wrong.

No script, one style sheet inside.

The style is allowed by its hash, so the policy needs no nonce and the pages can be compared byte
for byte. Every value goes through Jinja's escaping.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final

import jinja2

from backend.managers.identity._totp import Enrolment

_STYLE: Final = """
:root{color-scheme:light dark;--back:#f3f5f9;--card:#fff;--text:#172033;--soft:#55617a;
--line:#7d889e;--accent:#1d4ed8;--on-accent:#fff;--bad:#a61b1b;--bad-back:#fdecec;
--shade:0 1px 2px rgb(16 24 40/.06),0 12px 32px rgb(16 24 40/.1)}
@media (prefers-color-scheme:dark){:root{--back:#0e1320;--card:#182033;--text:#eef2fb;
--soft:#aab6cf;--line:#7886a3;--accent:#8fb0ff;--on-accent:#0c1530;--bad:#ffb4b4;--bad-back:#3d1a20;
--shade:0 12px 32px rgb(0 0 0/.45)}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;
background:var(--back);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{width:100%;max-width:25rem;background:var(--card);border-radius:1rem;padding:2rem;
box-shadow:var(--shade)}
.mark{display:flex;align-items:center;gap:.6rem;font-weight:600;color:var(--soft);
margin:0 0 1.25rem}
.mark svg{width:1.75rem;height:1.75rem;color:var(--accent)}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .35rem;letter-spacing:-.01em}
p{margin:0 0 1.25rem;color:var(--soft)}
p.hint{margin:-.8rem 0 1.1rem;font-size:.875rem}p.after{margin:1.25rem 0 0;text-align:center}
a{color:var(--accent)}
label{display:block;font-weight:600;margin:0 0 .35rem}
input{width:100%;font:inherit;color:inherit;background:transparent;padding:.65rem .75rem;
border:1px solid var(--line);border-radius:.5rem;margin:0 0 1.1rem}
input[readonly]{color:var(--soft);border-style:dashed}
input[aria-invalid=true]{border-color:var(--bad);border-width:2px}
button,.button{display:block;width:100%;text-align:center;text-decoration:none;font:inherit;
font-weight:600;padding:.75rem 1rem;border:0;border-radius:.5rem;background:var(--accent);
color:var(--on-accent);cursor:pointer}
button:hover,.button:hover{filter:brightness(1.08)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.problem{background:var(--bad-back);color:var(--bad);border-left:4px solid var(--bad);
border-radius:.5rem;padding:.75rem 1rem;margin:0 0 1.25rem}
.problem h2{font-size:1rem;margin:0}.problem p{color:inherit;margin:.15rem 0 0}
.qr{display:grid;place-items:center;margin:0 0 1.25rem}.qr svg{width:13rem;height:13rem;
border-radius:.5rem}
code{display:block;font:1rem/1.6 ui-monospace,Menlo,Consolas,monospace;color:var(--text);
overflow-wrap:anywhere;margin:0 0 1.25rem}
.codes{columns:2;padding:0;margin:0 0 1.25rem;list-style:none}.codes code{margin:0;font-size:.9rem}
.other{display:block;text-align:center;margin:1.1rem 0 0;color:var(--accent)}
@media (forced-colors:active){main,button{border:1px solid}}
""".strip()

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{ 'Problem: ' if problem else '' }}{{ title }} - Email Sender</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<div class="mark"><svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2"
stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><rect x="3" y="5" width="18"
height="14" rx="3"/><path d="m4 8 8 6 8-6"/></svg><span>Email Sender</span></div>
<h1>{{ title }}</h1>
{% if lead %}<p>{{ lead }}</p>{% endif %}
{% if problem %}<div class="problem" role="alert" id="problem"><h2>There is a problem</h2>
<p>{{ problem }}</p></div>{% endif %}
{% block content %}{% endblock %}
</main>
</body>
</html>
"""

_LOG_IN: Final = """{% extends "page" %}{% block content %}
<form method="post" action="/oauth/login">
<input type="hidden" name="csrf" value="{{ csrf }}">
<input type="hidden" name="return_to" value="{{ return_to }}">
<label for="email">E-mail</label>
<input id="email" name="email" type="email" autocomplete="username" required maxlength="254"
value="{{ email }}"{% if problem %} aria-invalid="true" aria-describedby="problem"{% endif %}
{%- if not email %} autofocus{% endif %}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
maxlength="1024"{% if problem %} aria-invalid="true" aria-describedby="problem"{% endif %}
{%- if email %} autofocus{% endif %}>
<button type="submit">Log in</button>
</form>
<p class="after"><a href="/oauth/password-reset">Forgot your password?</a></p>
{% if elsewhere %}<a class="other" href="{{ elsewhere }}">Sign in with your organisation</a>
{% endif %}{% endblock %}"""

_ELSEWHERE: Final = """{% extends "page" %}{% block content %}
{% if address %}<a class="button" href="{{ address }}">Sign in with {{ name }}</a>{% else %}
<form method="post" action="/oauth/external">
<input type="hidden" name="csrf" value="{{ csrf }}">
<input type="hidden" name="return_to" value="{{ return_to }}">
<label for="email">E-mail at your organisation</label>
<input id="email" name="email" type="email" autocomplete="username" required maxlength="254"
value="{{ email }}"{% if problem %} aria-invalid="true" aria-describedby="problem"{% endif %}
 autofocus>
<button type="submit">Continue</button>
</form>{% endif %}
{% if return_to %}<a class="other" href="{{ back }}">Log in with a password</a>{% endif %}
{% endblock %}"""

_LOG_OUT: Final = """{% extends "page" %}{% block content %}
<form method="post" action="/oauth/logout">
<input type="hidden" name="csrf" value="{{ csrf }}">
<button type="submit">Log out</button>
</form>
{% endblock %}"""

_SECOND_FACTOR: Final = """{% extends "page" %}{% block content %}
{% if qr %}<div class="qr" role="img" aria-label="QR code of the secret below">{{ qr|safe }}</div>
<p>Or type this secret into the app:</p><code>{{ secret }}</code>{% endif %}
<form method="post" action="/oauth/second-factor">
<input type="hidden" name="csrf" value="{{ csrf }}">
<input type="hidden" name="return_to" value="{{ return_to }}">
<label for="code">{{ 'Code that the app shows' if qr else 'Code' }}</label>
<input id="code" name="code" autocomplete="one-time-code" autocapitalize="off" spellcheck="false"
required maxlength="64"{% if problem %} aria-invalid="true" aria-describedby="problem"{% endif %}
 autofocus>
<button type="submit">Continue</button>
</form>
{% endblock %}"""

_RECOVERY_CODES: Final = """{% extends "page" %}{% block content %}
<ul class="codes">{% for code in codes %}<li><code>{{ code }}</code></li>{% endfor %}</ul>
<a class="button" href="{{ return_to }}">I have kept them: continue</a>
{% endblock %}"""

_pages: Final = jinja2.Environment(
    loader=jinja2.DictLoader(
        {
            "page": _PAGE,
            "log_in": _LOG_IN,
            "log_out": _LOG_OUT,
            "elsewhere": _ELSEWHERE,
            "second_factor": _SECOND_FACTOR,
            "recovery_codes": _RECOVERY_CODES,
        }
    ),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)
_pages.globals["style"] = _STYLE
ENVIRONMENT: Final = _pages
"""For the pages of other modules, which extend ``page``."""


def log_in_page(
    *,
    csrf: str,
    return_to: str,
    client_name: str,
    elsewhere: str = "",
    email: str = "",
    problem: str = "",
) -> str:
    """The log-in form.

    Args:
        csrf: Ties it to the browser.
        return_to: Where it leads.
        client_name: Who waits there.
        elsewhere: Where one signs in with one's organisation, if anybody does.
        email: What was typed before.
        problem: What was wrong with it.
    """
    return _pages.get_template("log_in").render(
        title="Log in",
        lead=f"to continue to {client_name}" if client_name else "",
        csrf=csrf,
        return_to=return_to,
        elsewhere=elsewhere,
        email=email,
        problem=problem,
    )


def elsewhere_page(
    *, csrf: str, return_to: str, back: str, email: str = "", problem: str = ""
) -> str:
    """Asks for an e-mail address, by whose domain the organisation is found."""
    return _pages.get_template("elsewhere").render(
        title="Sign in with your organisation",
        lead="",
        csrf=csrf,
        return_to=return_to,
        back=back,
        email=email,
        problem=problem,
        address="",
        name="",
    )


def departure_page(*, name: str, address: str, back: str, lead: str = "") -> str:
    """The way to an organisation's own page.

    A link and no redirect: a form may lead only to origins that its page names, and which one it
    is, is known by what the form brings.
    """
    return _pages.get_template("elsewhere").render(
        title="Sign in with your organisation",
        lead=lead,
        csrf="",
        return_to=back,
        back=back,
        email="",
        problem="",
        address=address,
        name=name,
    )


def second_factor_page(
    *, csrf: str, return_to: str, enrolment: Enrolment | None, problem: str = ""
) -> str:
    """Asks for a code; of somebody who has no second factor yet, for the first one of a new one."""
    if enrolment is None:
        title = "Second factor"
        lead = "Enter the code of your authenticator app, or one of your recovery codes."
    else:
        title = "Set up a second factor"
        lead = "It is required here. Scan this with an authenticator app on your phone."
    return _pages.get_template("second_factor").render(
        title=title,
        lead=lead,
        csrf=csrf,
        return_to=return_to,
        qr=enrolment.qr_svg if enrolment else "",
        secret=enrolment.secret if enrolment else "",
        problem=problem,
    )


def recovery_codes_page(*, codes: Sequence[str], return_to: str) -> str:
    """Shows the recovery codes, this once."""
    return _pages.get_template("recovery_codes").render(
        title="Recovery codes",
        lead="Each lets you in once without your phone. Keep them where you would find them; "
        "they are not shown again.",
        codes=codes,
        return_to=return_to,
        problem="",
    )


def log_out_page(*, csrf: str, name: str) -> str:
    """Asks whether to log out, when nothing proves that the person themselves wants it."""
    return _pages.get_template("log_out").render(
        title="Log out?", lead=f"You are logged in as {name}.", csrf=csrf, problem=""
    )


def message_page(*, title: str, lead: str, problem: str = "") -> str:
    """A page that only says something."""
    return _pages.get_template("page").render(title=title, lead=lead, problem=problem)


def headers(*, redirect_origin: str = "") -> dict[str, str]:
    """What a browser may do with these pages.

    Args:
        redirect_origin: Where submitting the form ends. Chromium applies ``form-action`` to every
            redirect that follows a form, so the client's origin has to be named.
    """
    action = f"'self' {redirect_origin}".strip()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {action}; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        "Cache-Control": "no-store",
        # Not no-referrer: it would make browsers send `Origin: null` with the form.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
