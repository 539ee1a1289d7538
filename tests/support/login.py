"""A person who logs in through the console, by HTTP alone."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx


def person_token(
    http: httpx.Client,
    *,
    console_url: str,
    console_secret: str,
    email: str,
    password: str,
    tenant_id: str | None = None,
) -> str:
    """An access token of this person for the tenant, or for the first that is theirs.

    Args:
        http: Asks the API by its issuer's name, to which cookies and form belong; keeps them.
        console_url: Where the console is served, as it was bootstrapped.
        console_secret: What the console's client authenticates with.
        email: The person.
        password: Theirs.
        tenant_id: The tenant that the token shall be for.
    """
    login = id_token(
        http,
        console_url=console_url,
        console_secret=console_secret,
        email=email,
        password=password,
    )
    return exchange(http, login, console_secret=console_secret, tenant_id=tenant_id)


def id_token(
    http: httpx.Client, *, console_url: str, console_secret: str, email: str, password: str
) -> str:
    """What the provider gives the console when this person has logged in."""
    verifier, redirect = "v" * 64, f"{console_url}/oauth2callback"
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = urlencode(
        {
            "response_type": "code",
            "client_id": "console",
            "redirect_uri": redirect,
            "scope": "openid profile email",
            "state": "s",
            "nonce": "n",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
    )
    return_to = f"/oauth/authorize?{query}"
    page = http.get(http.get(return_to).headers["location"])
    csrf = re.search(r'name="csrf"\s+value="([^"]+)"', page.text)
    assert csrf is not None, page.text
    form = {"csrf": csrf[1], "return_to": return_to, "email": email, "password": password}
    logged_in = http.post("/oauth/login", data=form)
    assert logged_in.status_code == 303, logged_in.text
    code = parse_qs(urlsplit(http.get(return_to).headers["location"]).query)["code"][0]
    grant = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    given = http.post(
        "/oauth/token",
        data={**grant, "redirect_uri": redirect},
        auth=("console", console_secret),
    )
    return str(given.raise_for_status().json()["id_token"])


def exchange(
    http: httpx.Client, login: str, *, console_secret: str, tenant_id: str | None = None
) -> str:
    """An access token for a log-in, as the console gets it."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": login,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        **({"tenant": tenant_id} if tenant_id else {}),
    }
    answer = http.post("/oauth/token", data=form, auth=("console", console_secret))
    return str(answer.raise_for_status().json()["access_token"])
