"""Signing in at a tenant's own OpenID provider: the protocol, and what of its answers counts.

We are the relying party here: discovery, code with PKCE, state, nonce, and the issuer named in the
answer (RFC 9207). A provider has a redirect URI of its own, so that an answer of one never passes
for another's, whatever it says. Whom a provider names is its issuer and subject: an e-mail address
that it asserts is shown to people and decides nothing.
"""

import base64
import binascii
import hashlib
import hmac
import json
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from authlib.common.urls import add_params_to_uri
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from backend.kit import base64url
from backend.kit.outbound import Outbound, UnreachableError
from backend.managers.identity.errors import ExternalLogInError, ProviderUnusableError

EXTERNAL_PATH: Final = "/oauth/external"
SCOPE: Final = "openid profile email"
_DISCOVERY: Final = "/.well-known/openid-configuration"
# Signatures that only the provider can make. Neither "none" nor one that takes a secret which both
# sides have: with those a public key would do to forge (RFC 8725, sections 2.1 and 3.1).
_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
_PUBLIC_PARTS: Final = ("kty", "n", "e", "crv", "x", "y")
_MAX_BYTES: Final = 512 * 1024
_MAX_TOKEN: Final = 64 * 1024
_MAX_GROUPS: Final = 1000
_SECONDS: Final = 10.0
_SKEW_SECONDS: Final = 60
_KEEP_SECONDS: Final = 300.0
_RELOAD_SECONDS: Final = 30.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Relation(NamedTuple):
    """What we are to a provider: whose it is, and as whom we ask."""

    id: str
    tenant_id: str
    issuer: str
    client_id: str
    client_secret: str
    groups_claim: str


class Trip(NamedTuple):
    """One browser's way to a provider and back, all of it derived from what its cookie holds.

    Only the hash of ``state`` is kept by us: without the cookie nobody comes back, and whoever
    reads our tables learns neither nonce nor verifier.
    """

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """The PKCE challenge of the verifier (S256)."""
        return base64url.encode(hashlib.sha256(self.verifier.encode()).digest())

    @property
    def state_hash(self) -> bytes:
        """What finds the row of the trip."""
        return hashlib.sha256(self.state.encode()).digest()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whom a provider has named."""

    issuer: str
    subject: str
    email: str
    name: str
    groups: tuple[str, ...]
    authenticated_at: int | None


@dataclass(slots=True)
class _Known:
    metadata: Mapping[str, Any]
    keys: Mapping[str, Any]
    loaded_at: float


def new_cookie() -> str:
    """256 random bits that a trip is derived from."""
    return secrets.token_urlsafe(32)


def trip_of(cookie: str) -> Trip:
    """The trip that a browser's cookie stands for."""
    parts = (
        hmac.digest(cookie.encode(), f"external_log_in:{what}".encode(), "sha256")
        for what in ("state", "nonce", "verifier")
    )
    return Trip(*(base64url.encode(one) for one in parts))


class ExternalProviders:
    """Asks providers for what they are and for tokens; keeps their metadata for some minutes."""

    def __init__(
        self,
        outbound: Outbound,
        *,
        issuer: str,
        allow_private: bool,
        monotonic: Callable[[], float],
    ) -> None:
        """Take the way out.

        Args:
            outbound: All requests go through it, as the tenant's own.
            issuer: Ours, below which browsers come back.
            allow_private: Whether providers may stand in the platform's own network, by plain http
                on loopback too.
            monotonic: Seconds.
        """
        self._outbound = outbound
        self._issuer = issuer
        self._allow_private = allow_private
        self._monotonic = monotonic
        self._known: dict[tuple[str, str], _Known] = {}

    def redirect_uri(self, provider_id: str) -> str:
        """Where this provider, and no other, sends browsers back to."""
        return f"{self._issuer}{EXTERNAL_PATH}/{provider_id}/callback"

    async def discover(self, tenant_id: str, issuer: str) -> Mapping[str, Any]:
        """What the provider says of itself (OpenID Connect Discovery 1.0), asked anew.

        Raises:
            ProviderUnusableError: It is none, says another issuer, or cannot do what we need.
            NotAllowedError: It stands where a tenant may not reach.
            UnreachableError: It does not answer.
        """
        self.refuse_address(issuer, "issuer")
        found = await self._get(tenant_id, issuer.rstrip("/") + _DISCOVERY)
        if found.get("issuer") != issuer:
            raise ProviderUnusableError("It says that its issuer is another one")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            self.refuse_address(found.get(name), name)
        methods = found.get("code_challenge_methods_supported")
        if methods is not None and "S256" not in _texts(methods):
            raise ProviderUnusableError("It does not take PKCE with S256")
        types = found.get("response_types_supported")
        if types is not None and "code" not in _texts(types):
            raise ProviderUnusableError("It does not give authorization codes")
        return found

    async def way_there(
        self, relation: Relation, trip: Trip, *, login_hint: str, max_age: int | None, prompt: str
    ) -> str:
        """The address at the provider that a browser is sent to.

        Raises:
            ProviderUnusableError, NotAllowedError, UnreachableError: As ``discover``.
        """
        known = await self._load(relation)
        given = {
            "response_type": "code",
            "client_id": relation.client_id,
            "redirect_uri": self.redirect_uri(relation.id),
            "scope": SCOPE,
            "state": trip.state,
            "nonce": trip.nonce,
            "code_challenge": trip.challenge,
            "code_challenge_method": "S256",
        }
        if login_hint:
            given["login_hint"] = login_hint
        if max_age is not None:
            given["max_age"] = str(max_age)
        if prompt:
            given["prompt"] = prompt
        where = str(known.metadata["authorization_endpoint"])
        return str(add_params_to_uri(where, list(given.items())))

    async def take_answer(
        self,
        relation: Relation,
        trip: Trip,
        answer: Mapping[str, str],
        *,
        now: float,
        max_age: int | None,
    ) -> Visitor:
        """Whom the provider's answer names, once every part of it has been checked.

        Args:
            relation: The provider that this trip went to.
            trip: The browser's.
            answer: The parameters that it came back with; ``state`` has been compared.
            now: Epoch seconds.
            max_age: How recent the log-in there must be, in seconds.

        Raises:
            ExternalLogInError: It does not hold; says which part, in a word of ours.
            ProviderUnusableError, NotAllowedError, UnreachableError: As ``discover``.
        """
        known = await self._load(relation)
        said = answer.get("iss")
        promised = known.metadata.get("authorization_response_iss_parameter_supported") is True
        if (promised and said is None) or (said is not None and said != relation.issuer):
            raise ExternalLogInError("issuer")
        if "error" in answer or not answer.get("code"):
            raise ExternalLogInError("refused_there")
        token, access = await self._redeem(relation, known, answer["code"], trip)
        claims = await self._verified(relation, known, token)
        _refuse_claims(relation, trip, claims, now=now, max_age=max_age)
        claims = await self._completed(relation, known, claims, access)
        return _visitor(relation, claims, now)

    async def _completed(
        self, relation: Relation, known: _Known, claims: Mapping[str, Any], access: str
    ) -> Mapping[str, Any]:
        """The claims, with what the provider tells at its user info and not in the token."""
        missing = {"name", "email", relation.groups_claim} - claims.keys()
        where = known.metadata.get("userinfo_endpoint")
        if not missing or not access or not isinstance(where, str):
            return claims
        self.refuse_address(where, "userinfo_endpoint")
        headers = {"authorization": f"Bearer {access}"}
        more = await self._get(relation.tenant_id, where, headers)
        if more.get("sub") != claims["sub"]:
            # It may be somebody else's (OpenID Connect Core 1.0, section 5.3.2).
            raise ExternalLogInError("user_info")
        return {**{name: more[name] for name in missing if name in more}, **claims}

    async def _redeem(
        self, relation: Relation, known: _Known, code: str, trip: Trip
    ) -> tuple[str, str]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri(relation.id),
            "code_verifier": trip.verifier,
        }
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        methods = _texts(known.metadata.get("token_endpoint_auth_methods_supported"))
        if not methods or "client_secret_basic" in methods:
            pair = f"{quote(relation.client_id, safe='')}:{quote(relation.client_secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": relation.client_id, "client_secret": relation.client_secret}
        found = await self._outbound.request(
            "POST",
            str(known.metadata["token_endpoint"]),
            tenant_id=relation.tenant_id,
            public_only=not self._allow_private,
            headers=headers,
            content=urlencode(form).encode(),
            timeout_seconds=_SECONDS,
            max_bytes=_MAX_BYTES,
        )
        given = _json(found.body) if found.is_success else {}
        token, access = given.get("id_token"), given.get("access_token")
        if not isinstance(token, str) or len(token) > _MAX_TOKEN:
            raise ExternalLogInError("code")
        usable = isinstance(access, str) and access.isascii() and access.isprintable()
        return token, str(access) if usable else ""

    async def _verified(self, relation: Relation, known: _Known, token: str) -> Mapping[str, Any]:
        """The claims of an id token, signed by a key that the provider publishes."""
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError, TypeError) as exc:
            raise ExternalLogInError("id_token") from exc
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in _ALGORITHMS:
            raise ExternalLogInError("algorithm")
        keys = _candidates(known.keys, algorithm, kid)
        if not keys and self._monotonic() > known.loaded_at + _RELOAD_SECONDS:
            # It may have rotated since.
            self._known.pop((relation.tenant_id, relation.issuer), None)
            known = await self._load(relation)
            keys = _candidates(known.keys, algorithm, kid)
        for key in keys:
            try:
                return dict(jwt.decode(token, key, algorithms=[algorithm]).claims)
            except (JoseError, ValueError, TypeError):
                continue
        raise ExternalLogInError("signature")

    async def _load(self, relation: Relation) -> _Known:
        key = (relation.tenant_id, relation.issuer)
        known = self._known.get(key)
        if known is not None and self._monotonic() < known.loaded_at + _KEEP_SECONDS:
            return known
        metadata = await self.discover(relation.tenant_id, relation.issuer)
        keys = await self._get(relation.tenant_id, str(metadata["jwks_uri"]))
        known = self._known[key] = _Known(metadata, keys, self._monotonic())
        return known

    async def _get(
        self, tenant_id: str, url: str, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        found = await self._outbound.request(
            "GET",
            url,
            tenant_id=tenant_id,
            public_only=not self._allow_private,
            headers={"accept": "application/json", **(headers or {})},
            timeout_seconds=_SECONDS,
            max_bytes=_MAX_BYTES,
        )
        if found.status != 200:  # a redirect would be somebody else's word
            raise UnreachableError(f"{urlsplit(url).netloc} answered {found.status}")
        return _json(found.body)

    def refuse_address(self, address: object, what: str) -> None:
        """Refuse what is no address of a provider.

        Raises:
            ProviderUnusableError: It is none of https, or names a user or a fragment.
        """
        parts = urlsplit(address) if isinstance(address, str) else None
        plain = (
            self._allow_private
            and parts is not None
            and parts.scheme == "http"
            and parts.hostname in _LOOPBACK
        )
        if (
            parts is None
            or not parts.hostname
            or parts.username is not None
            or parts.fragment
            or not (parts.scheme == "https" or plain)
        ):
            raise ProviderUnusableError(f"Its {what} is no https address")


def _candidates(jwks: Mapping[str, Any], algorithm: str, kid: object) -> Sequence[Any]:
    """The published keys that may have made such a signature; the key's own words count too."""
    found = []
    for jwk in jwks.get("keys") or ():
        if not isinstance(jwk, dict) or jwk.get("kty") not in {"RSA", "EC", "OKP"}:
            continue  # a symmetric key in public is nobody's signature
        if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
            continue
        if kid is not None and jwk.get("kid") != kid:
            continue
        # Of a key only what makes it up: no private part, whoever published one by mistake.
        public = {name: jwk[name] for name in _PUBLIC_PARTS if name in jwk}
        try:
            found.append(import_key(public))
        except (JoseError, ValueError, TypeError, binascii.Error):
            continue
    return found


def _refuse_claims(
    relation: Relation, trip: Trip, claims: Mapping[str, Any], *, now: float, max_age: int | None
) -> None:
    """Check an id token's claims (OpenID Connect Core 1.0, section 3.1.3.7)."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else _texts(audience)
    party = claims.get("azp")
    if claims.get("iss") != relation.issuer:
        raise ExternalLogInError("issuer")
    if relation.client_id not in audiences or (
        (len(audiences) > 1 or party is not None) and party != relation.client_id
    ):
        raise ExternalLogInError("audience")
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    if expires is None or expires <= now - _SKEW_SECONDS:
        raise ExternalLogInError("expired")
    if issued is None or issued > now + _SKEW_SECONDS:
        raise ExternalLogInError("expired")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), trip.nonce.encode()):
        raise ExternalLogInError("nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or "\x00" in subject:
        raise ExternalLogInError("subject")
    at = _time(claims, "auth_time")
    if max_age is not None and (at is None or at < now - max_age - _SKEW_SECONDS):
        raise ExternalLogInError("auth_time")


def _visitor(relation: Relation, claims: Mapping[str, Any], now: float) -> Visitor:
    at = _time(claims, "auth_time")
    return Visitor(
        relation.issuer,
        claims["sub"],
        _shown(claims.get("email"), 254),
        _shown(claims.get("name"), 100) or _shown(claims.get("preferred_username"), 100),
        tuple(_texts(claims.get(relation.groups_claim))[:_MAX_GROUPS]),
        None if at is None else int(min(max(at, 0), now)),
    )


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """Epoch seconds; None for what is no time, infinity and not-a-number among it."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _shown(value: object, most: int) -> str:
    """A text that people will read: what it may hold is a display name's, and no more."""
    text = value if isinstance(value, str) else ""
    return "".join(one for one in text if one.isprintable()).strip()[:most]


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderUnusableError("It does not answer in JSON")
    return found
