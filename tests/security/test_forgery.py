"""What a token or a key says about itself convinces nobody, and guessing finds nothing."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey
from sqlalchemy import event

from backend.core.context import Scope, SystemScope
from backend.kit import credentials
from backend.managers.identity import CredentialInvalidError
from backend.managers.identity.models import SigningKey
from backend.settings import Settings
from tests.support.errands import EVERYTHING
from tests.support.gate import Gate
from tests.support.platform import App

pytestmark = pytest.mark.attack

Sign = Callable[[bytes], bytes]
BURST = 40
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def coded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def opened(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def forged(header: dict[str, Any], claims: dict[str, Any], sign: Sign) -> str:
    signed = f"{coded(header)}.{coded(claims)}"
    return f"{signed}.{coded(sign(signed.encode()))}"


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def keyed(secret: bytes) -> Sign:
    return lambda message: hmac.new(secret, message, hashlib.sha256).digest()


class TestKeyConfusion:
    async def test_the_header_chooses_neither_key_nor_algorithm(self, gate: Gate) -> None:
        client, secret = await gate.client(await gate.tenant())
        ours = await gate.token(client, secret)
        head, body, signature = ours.split(".")
        header, claims = opened(head), opened(body)
        async with gate.database.read(SystemScope(EVERYTHING)) as tx:
            public = dict(await tx.scalar(sa.select(SigningKey.public_jwk)) or {})
        theirs = ec.generate_private_key(ec.SECP256R1())
        own = ECKey.import_key(
            theirs.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        ).as_dict(private=False)

        def by_theirs(message: bytes) -> bytes:
            return raw_signature(theirs, message)

        def nothing(_: bytes) -> bytes:
            return b""

        public_key: Any = ECKey.import_key(public)
        known = {
            "as JSON": json.dumps(public).encode(),
            "as PEM": public_key.as_pem(private=False),
            "as DER": public_key.as_der(private=False),
            "its key id": str(public["kid"]).encode(),
            "x": str(public["x"]).encode(),
            "nothing": b"",
        }
        attacks: dict[str, str] = {
            f"alg {alg}": forged({**header, "alg": alg}, claims, nothing)
            for alg in ("none", "None", "NONE", "nOnE", "", None)
        }
        attacks |= {
            f"HS256 with the public key {what}": forged(
                {**header, "alg": "HS256"}, claims, keyed(value)
            )
            for what, value in known.items()
        }
        attacks |= {
            f"alg {alg} with our signature": f"{coded({**header, 'alg': alg})}.{body}.{signature}"
            for alg in ("HS256", "RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "es256")
        }
        # A key that the token brings, or says where to fetch.
        brought: dict[str, dict[str, Any]] = {
            "jwk": {"jwk": own},
            "jwk with its id": {"jwk": own, "kid": own.get("kid", "theirs")},
            "jku": {"jku": "https://evil.example/jwks"},
            "jku of ours": {"jku": "http://localhost:8400@evil.example/oauth/jwks"},
            "x5u": {"x5u": "https://evil.example/cert.pem"},
            "x5c": {"x5c": ["MIIB"]},
            "iss": {"iss": "https://evil.example"},
        }
        attacks |= {
            f"{what} of theirs": forged({**header, **more}, claims, by_theirs)
            for what, more in brought.items()
        }
        # An id that is to lead to a key of theirs, to an empty one or to none.
        for kid in (
            None,
            "",
            0,
            True,
            [],
            [header["kid"]],
            {"kid": header["kid"]},
            "../../../../dev/null",
            "/dev/null",
            "' UNION SELECT 'x' --",
            "file:///etc/hostname",
            "https://evil.example/key",
            "__class__",
            str(header["kid"]).upper(),
            f"{header['kid']}\x00",
            f" {header['kid']}",
            "x" * 2000,
        ):
            attacks[f"kid {kid!r}"] = forged({**header, "kid": kid}, claims, by_theirs)
            attacks[f"kid {kid!r} and an empty secret"] = forged(
                {**header, "kid": kid, "alg": "HS256"}, claims, keyed(b"")
            )
            attacks[f"kid {kid!r} with our signature"] = (
                f"{coded({**header, 'kid': kid})}.{body}.{signature}"
            )
        attacks |= {
            f"{more} with our signature": f"{coded({**header, **more})}.{body}.{signature}"
            for more in (
                {"crit": ["exp"]},
                {"b64": False, "crit": ["b64"]},
                {"zip": "DEF"},
                {"typ": "JWT"},
                {"typ": "application/at+jwt"},
                {"cty": "JWT"},
            )
        }
        # Signatures that some curve or other took for everybody's.
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        attacks |= {
            f"signature {number:x}": f"{head}.{body}.{coded(number.to_bytes(64, 'big'))}"
            for number in (0, 1, order, order << 256 | order, (1 << 512) - 1)
        }
        message = f"{head}.{body}".encode()
        der = theirs.sign(message, ec.ECDSA(hashes.SHA256()))
        attacks |= {
            "a signature in DER": f"{head}.{body}.{coded(der)}",
            "half a signature": f"{head}.{body}.{signature[:43]}",
            "a signature twice": f"{head}.{body}.{signature}{signature}",
            "no signature": f"{head}.{body}.",
            "two parts": f"{head}.{body}",
            "four parts": f"{ours}.{signature}",
            "five parts, as if it were encrypted": f"{head}..{body}.{signature}.{signature}",
            "as JSON": json.dumps({"protected": head, "payload": body, "signature": signature}),
            "padded": f"{head}=.{body}=.{signature}==",
            "of the other alphabet": f"{head}.{body}.{signature}".replace("-", "+").replace(
                "_", "/"
            )
            + "+",
        }
        held = []
        for name, token in attacks.items():
            try:
                await gate.gateway.authenticate(token)
                held.append(name)
            except CredentialInvalidError:
                continue
        assert held == []
        assert (await gate.gateway.authenticate(ours)).subject == f"client:{client.client_id}"

    async def test_changed_claims_hold_under_no_signature(self, gate: Gate) -> None:
        """Each claim in turn, with the signature of the true ones."""
        client, secret = await gate.client(await gate.tenant())
        other = await gate.tenant()
        head, body, signature = (await gate.token(client, secret)).split(".")
        claims = opened(body)
        changes = {
            "sub": "client:es_client_other",
            "client_id": "console",
            "tenant": other.id,
            "scope": claims["scope"] + " platform:write",
            "exp": claims["exp"] + 86_400,
            "jti": "another",
            "sid": "planted",
        }
        for name, value in changes.items():
            token = f"{head}.{coded({**claims, name: value})}.{signature}"
            with pytest.raises(CredentialInvalidError):
                await gate.gateway.authenticate(token)


class TestGuessing:
    """A key has 256 random bits; what is near to one is as far from it as anything else."""

    async def test_neighbours_of_a_key_are_nobody(self, gate: Gate) -> None:
        tenant = await gate.tenant()
        async with gate.database.transaction(Scope("test", tenant.id)) as tx:
            _, key = await gate.gateway.api_keys.create_api_key(
                tx, name="k", role="owner", granter=None
            )
        choose = random.Random(7)
        neighbours = {key[:-1], key + "0", key[:-6], key.upper(), key.lower(), key.swapcase()}
        neighbours |= {f" {key[1:]}", key.replace("es_key", "es_secret"), f"es_key_{'0' * 49}"}
        for place in range(len("es_key_"), len(key)):
            other = choose.choice(ALPHABET.replace(key[place], ""))
            neighbours.add(key[:place] + other + key[place + 1 :])
        # What does not begin as a key does is taken for a token: their keys are loaded once.
        with pytest.raises(CredentialInvalidError):
            await gate.gateway.authenticate("x.y.z")
        asked: list[str] = []

        def note(*args: Any) -> None:
            asked.append(args[2])

        engine = gate.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        for guess in sorted(neighbours - {key}):
            with pytest.raises(CredentialInvalidError):
                await gate.gateway.authenticate(guess)
        # The checksum tells without the database: a guess costs us nothing, a hit would cost them
        # 2^256 tries.
        assert asked == []
        for _ in range(20):
            with pytest.raises(CredentialInvalidError):
                await gate.gateway.authenticate(credentials.mint(credentials.API_KEY_TAG))
        assert asked
        event.remove(engine, "before_cursor_execute", note)
        assert (await gate.gateway.authenticate(key)).role == "owner"

    @pytest.fixture
    def app_settings(self, app_settings: Settings) -> Settings:
        """A bucket of guesses that does not fill up again while the test runs."""
        few = {"coarse_requests_per_second": 0.001, "coarse_burst_requests": BURST}
        gateway = app_settings.gateway.model_copy(update=few)
        return app_settings.model_copy(update={"gateway": gateway})

    async def test_a_guesser_is_turned_away_and_nobody_else(self, app: App) -> None:
        owner = await app.caller()
        assert (await owner.http.get("/api/v1/me")).status_code == 200
        http, statuses = app.client(), []
        for _ in range(BURST + 20):
            key = credentials.mint(credentials.API_KEY_TAG)
            statuses.append((await http.get("/api/v1/me", headers={"X-API-Key": key})).status_code)
        spent = statuses.count(401)
        assert 0 < spent < BURST
        assert statuses == [401] * spent + [429] * (BURST + 20 - spent)
        # Whoever is known already does not pay for a guesser at the same address.
        assert (await owner.http.get("/api/v1/me")).status_code == 200
