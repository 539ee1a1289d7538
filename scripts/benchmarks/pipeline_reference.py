"""The reference of the pipeline: one Starlette route, a bearer check, a lookup, a msgspec answer.

No request id, no limits, no log, no metrics, no expiry: what remains when the platform is taken
away and the work is left.
"""

import argparse
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Answer(msgspec.Struct, omit_defaults=True):
    """An active token as RFC 7662 tells it."""

    active: bool
    sub: str
    tenant: str
    iss: str
    aud: str
    token_type: str
    scope: str
    client_id: str = ""
    exp: int = 0
    iat: int = 0
    jti: str = ""


class Known(msgspec.Struct):
    """Who may ask, and about what."""

    callers: dict[str, str]
    tokens: dict[str, Answer]


def make_app(known: Known) -> Starlette:
    """The application."""
    encoder = msgspec.json.Encoder()

    async def introspect(request: Request) -> Response:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or bearer not in known.callers:
            return Response(b'{"error":"invalid_token"}', 401, media_type="application/json")
        form = parse_qs((await request.body()).decode())
        answer = known.tokens.get(form.get("token", [""])[0])
        if answer is None:
            return Response(b'{"active":false}', media_type="application/json")
        return Response(
            encoder.encode(answer),
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    return Starlette(routes=[Route("/oauth/introspect", introspect, methods=["POST"])])


def main() -> None:
    """Serve with the settings of ``email-sender serve``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--known", type=Path, required=True)
    options = parser.parse_args()
    known = msgspec.json.decode(options.known.read_bytes(), type=Known)
    uvicorn.run(
        make_app(known),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
