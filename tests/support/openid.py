"""An OpenID provider on loopback that says whatever a test has it say, true or not.

What an honest provider does is tried with a real one (tests/support/oidc_provider); none of those
can be had to lie.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey


def new_key(kid: str = "k1", kind: str = "ES256") -> Any:
    """A key to sign with, of a name."""
    if kind == "RS256":
        return RSAKey.generate_key(2048, parameters={"kid": kid, "use": "sig", "alg": "RS256"})
    return ECKey.generate_key("P-256", parameters={"kid": kid, "use": "sig", "alg": "ES256"})


@dataclass
class OpenId:
    """The provider: what it publishes, what its tokens claim, and what it was asked for.

    Attributes:
        claims: Of the next id token; those that are None are left out.
        token: The next id token as it is, instead of one that is signed.
        metadata: Members that replace the honest ones; those that are None are left out.
        forms: The bodies of token requests, with their ``Authorization`` header.
    """

    issuer: str = ""
    key: Any = field(default_factory=new_key)
    keys: list[dict[str, Any]] | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    user_info: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token of these claims."""
        made = {"alg": self.key.as_dict()["alg"], "kid": self.key.kid} | header
        return jwt.encode(made, claims, self.key, algorithms=[made["alg"]])

    def _answer(self, path: str, form: dict[str, str]) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            said = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            } | self.metadata
            return 200, {name: value for name, value in said.items() if value is not None}
        if path == "/jwks":
            return 200, {"keys": self.keys or [self.key.as_dict(private=False)]}
        if path == "/token":
            self.forms.append(form)
            claims = {name: one for name, one in self.claims.items() if one is not None}
            token = self.token if self.token is not None else self.sign(claims)
            return 200, {"id_token": token, "access_token": "a", "token_type": "Bearer"}
        if path == "/userinfo" and self.user_info is not None:
            return 200, self.user_info
        return 404, {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        path = urlsplit(lines[0].split(" ")[1]).path
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        form = dict(parse_qsl(body.decode()))
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            if name.lower() == "authorization":
                form["authorization"] = value
        status, said = self._answer(path, form)
        content = json.dumps(said).encode()
        start = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(f"{start}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def open_id(**more: Any) -> AsyncIterator[OpenId]:
    """A running provider on a port of its own."""
    made = OpenId(**more)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made
