"""npm's oidc-provider as a real OpenID provider, and somebody who signs in at its pages."""

import asyncio
import json
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx
import pytest
from joserfc.jwk import RSAKey

HERE: Final = Path(__file__).parent / "oidc_provider"
HOW: Final = (
    "oidc-provider is missing; get the pinned version with `npm ci --ignore-scripts` in "
    "tests/support/oidc_provider, or in a copy of that folder named by EMAIL_SENDER_OIDC_PROVIDER"
)
_PAGES: Final = 12


def find() -> Path:
    """The folder whose ``node_modules`` has it, or skip the test and say how to get it."""
    for folder in (os.environ.get("EMAIL_SENDER_OIDC_PROVIDER"), HERE):
        if folder and (Path(folder) / "node_modules" / "oidc-provider").is_dir():
            return Path(folder)
    pytest.skip(HOW)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(**given: Any) -> AsyncIterator[None]:
    """The provider while the block lasts, with what ``server.mjs`` reads."""
    folder, node = find(), shutil.which("node")
    if node is None:
        pytest.skip("Node is missing; install it from your system's packages")
    key = RSAKey.generate_key(2048, parameters={"use": "sig", "alg": "RS256"}, auto_kid=True)
    given["jwks"] = {"keys": [key.as_dict(private=True)]}
    process = await asyncio.create_subprocess_exec(
        node,
        str(HERE / "server.mjs"),
        str(folder),
        env={"PATH": os.environ["PATH"], "OIDC_PROVIDER": json.dumps(given)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), 30)
        assert said.decode().strip() == given["issuer"]
        yield
    finally:
        process.terminate()
        await process.wait()


async def sign_in(address: str, redirect_uri: str) -> str:
    """Where the provider sends a browser back to, once its forms are filled."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(address)
        for _ in range(_PAGES):
            if answer.is_redirect:
                where = urljoin(str(answer.url), answer.headers["location"])
                if where.startswith(redirect_uri):
                    return where
                answer = await browser.get(where)
                continue
            action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt"[^>]*value="([^"]+)"', answer.text)
            assert action is not None, answer.text
            assert prompt is not None, answer.text
            form = {"prompt": prompt[1], "login": "u-1", "password": "any"}
            answer = await browser.post(urljoin(str(answer.url), action[1]), data=form)
    raise AssertionError(f"it does not come back: {answer.text}")
