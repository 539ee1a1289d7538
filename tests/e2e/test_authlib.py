"""Authlib's clients against our provider, over a socket: what a program of theirs would do.

Nothing is told to them but the issuer's address and their credential: endpoints, keys and methods
come from the provider's own metadata.
"""

import re
import secrets
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.integrations.base_client.errors import MismatchingStateError, OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.integrations.starlette_client import OAuth
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.serving import Served, serving

pytestmark = pytest.mark.slow

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@pytest.fixture
def served(tmp_path: Path, database_url: str) -> Iterator[Served]:
    data_dir = tmp_path / "served"
    data_dir.mkdir()
    with serving(data_dir, database_url) as made:
        yield made


@pytest.fixture
def metadata(served: Served) -> dict[str, Any]:
    """What the issuer says of itself."""
    found: dict[str, Any] = httpx.get(
        f"{issuer_of(served)}/.well-known/openid-configuration"
    ).json()
    return found


def issuer_of(served: Served) -> str:
    """As it is named: cookies belong to that host."""
    return served.base_url.replace("127.0.0.1", "localhost")


class Program:
    """A web application that logs people in by Authlib, and a browser in front of both."""

    def __init__(self, served: Served) -> None:
        self._served = served
        oauth = OAuth()
        oauth.register(
            "platform",
            client_id="console",
            client_secret=served.console_secret,
            server_metadata_url=f"{issuer_of(served)}/.well-known/openid-configuration",
            client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
        )

        async def login(request: Request) -> Response:
            found: Response = await oauth.platform.authorize_redirect(
                request, f"{served.console_url}/oauth2callback"
            )
            return found

        async def callback(request: Request) -> Response:
            try:
                token = await oauth.platform.authorize_access_token(request)
            except (OAuthError, MismatchingStateError, JoseError) as exc:
                return JSONResponse({"refused": repr(exc)}, 400)
            return JSONResponse(token)

        app = Starlette(
            routes=[Route("/login", login), Route("/oauth2callback", callback)],
            middleware=[Middleware(SessionMiddleware, secret_key=secrets.token_hex(16))],
        )
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=served.console_url
        )

    async def begin(self) -> str:
        """Where the application sends a browser that is to log in."""
        answer = await self._http.get("/login")
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def log_in(self, address: str) -> str:
        """Follow it as a person does; where the provider sends the browser back to."""
        with httpx.Client(base_url=issuer_of(self._served)) as browser:
            page = browser.get(browser.get(address).headers["location"])
            fields = dict(re.findall(r'name="(csrf|return_to)"\s+value="([^"]*)"', page.text))
            form = {name: unescape(value) for name, value in fields.items()}
            form |= {"email": self._served.email, "password": self._served.password}
            entered = browser.post("/oauth/login", data=form)
            assert entered.status_code == 303, entered.text
            return browser.get(entered.headers["location"]).headers["location"]

    async def finish(self, address: str) -> httpx.Response:
        """Come back to the application."""
        return await self._http.get(address)


class TestCode:
    async def test_a_person_logs_in(self, served: Served) -> None:
        """State, PKCE, nonce, signature, issuer and audience are all checked by the library."""
        program = Program(served)
        asked = await program.begin()
        assert "code_challenge_method=S256" in asked
        assert "nonce=" in asked
        answer = await program.finish(program.log_in(asked))
        token = answer.json()
        assert answer.status_code == 200, answer.text
        assert token["userinfo"]["email"] == served.email
        assert token["userinfo"]["iss"] == issuer_of(served)
        assert token["token_type"] == "Bearer"
        async with httpx.AsyncClient() as http:
            about = await http.get(
                f"{served.base_url}/oauth/userinfo",
                headers={"Authorization": f"Bearer {token['access_token']}"},
            )
        assert about.json()["sub"] == token["userinfo"]["sub"]

    async def test_a_code_is_worth_nothing_in_another_browser(self, served: Served) -> None:
        """Neither forced upon somebody's browser nor taken from it."""
        program, victim = Program(served), Program(served)
        back = program.log_in(await program.begin())
        answer = await victim.finish(back)
        assert answer.status_code == 400
        assert "state" in answer.text.lower()
        # With a state that the victim's own browser holds, the verifier is still another.
        asked = await victim.begin()
        state = re.search(r"state=([^&]+)", asked)
        assert state is not None
        answer = await victim.finish(re.sub(r"state=[^&]+", f"state={state[1]}", back))
        assert answer.status_code == 400
        assert "invalid_grant" in answer.text

    async def test_a_code_works_once(self, served: Served) -> None:
        program = Program(served)
        back = program.log_in(await program.begin())
        assert (await program.finish(back)).status_code == 200
        assert (await program.finish(back)).status_code == 400

    async def test_a_log_in_is_exchanged_for_a_token_of_the_api(
        self, served: Served, metadata: dict[str, Any]
    ) -> None:
        program = Program(served)
        token = (await program.finish(program.log_in(await program.begin()))).json()
        with OAuth2Client("console", served.console_secret) as client:
            client.fetch_token(
                metadata["token_endpoint"],
                grant_type=EXCHANGE,
                subject_token=token["id_token"],
                subject_token_type=ID_TOKEN,
            )
            me = client.get(f"{served.base_url}/api/v1/me").json()
        assert me["tenant"]["id"] == served.tenant_id


class TestClientCredentials:
    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    def test_a_program_gets_a_token_and_works(
        self, served: Served, metadata: dict[str, Any], method: str
    ) -> None:
        assert method in metadata["token_endpoint_auth_methods_supported"]
        with OAuth2Client(
            served.client_id,
            served.client_secret,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
        ) as client:
            given = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
            assert client.get(f"{served.base_url}/api/v1/me").status_code == 200
            told = client.introspect_token(
                metadata["introspection_endpoint"],
                token=given["access_token"],
                auth=client.token_auth,
            ).json()
            assert (told["active"], told["client_id"]) == (True, served.client_id)
            gone = client.revoke_token(metadata["revocation_endpoint"], token=given["access_token"])
            assert gone.status_code == 200
            assert client.get(f"{served.base_url}/api/v1/me").status_code == 401

    def test_a_token_that_ran_out_is_renewed_by_the_library(
        self, served: Served, metadata: dict[str, Any]
    ) -> None:
        """No refresh token is given to programs: their credential is one."""
        renewed: list[dict[str, Any]] = []
        with OAuth2Client(
            served.client_id,
            served.client_secret,
            token_endpoint=metadata["token_endpoint"],
            grant_type="client_credentials",
            update_token=lambda token, **_: renewed.append(token),
        ) as client:
            first = client.fetch_token()
            assert "refresh_token" not in first
            client.token = {**first, "expires_at": 1}
            assert client.get(f"{served.base_url}/api/v1/me").status_code == 200
        assert [one["access_token"] == first["access_token"] for one in renewed] == [False]

    def test_a_scope_is_narrowed_and_never_widened(
        self, served: Served, metadata: dict[str, Any]
    ) -> None:
        with OAuth2Client(served.client_id, served.client_secret, scope="email:read") as client:
            given = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
            assert given["scope"] == "email:read"
            assert client.get(f"{served.base_url}/api/v1/emails").status_code == 200
            assert client.get(f"{served.base_url}/api/v1/jobs").status_code == 403
        with (
            OAuth2Client(served.client_id, served.client_secret, scope="platform:write") as client,
            pytest.raises(OAuthError, match="invalid_scope"),
        ):
            client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")

    def test_a_wrong_secret_is_told_in_the_words_of_oauth(
        self, served: Served, metadata: dict[str, Any]
    ) -> None:
        with (
            OAuth2Client(served.client_id, "wrong") as client,
            pytest.raises(OAuthError, match="invalid_client"),
        ):
            client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
