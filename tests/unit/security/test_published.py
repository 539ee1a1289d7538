"""Wycheproof's cases and NIST's, judged by what the platform itself signs, seals and opens with.

The published verdicts are two in these files, valid and invalid; none is "acceptable". Where ours
is another it is said here: what other forms of the algorithm have, ours refuses.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from backend.managers.security import _material as material
from backend.managers.security._gcm import NONCE_BYTES, TAG_BYTES, Gcm
from backend.managers.security.errors import SealBrokenError

HERE = Path(__file__).parent


def cases(name: str) -> Iterator[tuple[str, bool, list[bytes]]]:
    """Number, whether it is valid, and what comes after, in the order that the file says."""
    for line in (HERE / f"{name}.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        number, result, *fields = line.split(" ")
        assert result in ("valid", "invalid"), line
        yield (
            f"{name} {number}",
            result == "valid",
            [b"" if one == "-" else bytes.fromhex(one) for one in fields],
        )


def point(raw: bytes) -> EllipticCurvePublicKey:
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), raw)


class TestGcm:
    def test_judges_every_case(self) -> None:
        judged: Counter[str] = Counter()
        for name, valid, (key, nonce, data, plaintext, sealed) in cases("wycheproof/aes_gcm"):
            gcm = Gcm(key)
            if len(nonce) != NONCE_BYTES:
                # Lawful elsewhere; here a nonce has 12 bytes, and nobody can say otherwise.
                with pytest.raises(ValueError, match="12 bytes"):
                    gcm.seal(b"", nonce, plaintext, data)
                    pytest.fail(name)
                judged["valid, of another nonce" if valid else "invalid, of another nonce"] += 1
            elif valid:
                assert gcm.seal(b"head", nonce, plaintext, data) == b"head" + sealed, name
                assert gcm.open(nonce, memoryview(sealed), data) == plaintext, name
                judged["valid"] += 1
                continue
            else:
                judged["invalid"] += 1
            with pytest.raises(SealBrokenError) as refused:
                gcm.open(nonce, sealed, data)
                pytest.fail(name)
            assert str(refused.value) == SealBrokenError.title, name
        assert judged == {
            "valid": 39,
            "invalid": 27,
            "valid, of another nonce": 37,
            "invalid, of another nonce": 2,
        }

    def test_long_ones_are_the_same_cipher(self) -> None:
        """What is written in place, beyond 32 KiB, begins as each published ciphertext does."""
        for name, valid, (key, nonce, data, plaintext, sealed) in cases("wycheproof/aes_gcm"):
            if not valid or len(nonce) != NONCE_BYTES:
                continue
            long = plaintext + bytes(64 * 1024)
            made = bytes(Gcm(key).seal(b"head", nonce, long, data))
            body = len(sealed) - TAG_BYTES
            assert made[:4] + made[4 : 4 + body] == b"head" + sealed[:body], name
            assert Gcm(key).open(nonce, made[4:], data) == long, name

    def test_takes_one_size_of_key(self) -> None:
        for size in (0, 16, 24, 31, 33):
            with pytest.raises(ValueError, match="32 bytes"):
                Gcm(bytes(size))


class TestEd25519:
    def test_judges_every_case(self) -> None:
        judged: Counter[bool] = Counter()
        for name, valid, (public, message, signature) in cases("wycheproof/ed25519"):
            key = material.Ed25519Verifier(Ed25519PublicKey.from_public_bytes(public))
            assert key.verify(message, signature) is valid, name
            judged[valid] += 1
        assert judged == {True: 88, False: 63}


class TestEcdsa:
    def test_judges_every_case(self) -> None:
        judged: Counter[bool] = Counter()
        for name, valid, (public, message, signature) in cases("wycheproof/ecdsa_p1363"):
            key = material.EcdsaVerifier(point(public))
            assert key.verify(message, signature) is valid, name
            judged[valid] += 1
        assert judged == {True: 173, False: 89}

    def test_judges_every_case_of_nist(self) -> None:
        judged: Counter[bool] = Counter()
        for name, valid, (public, message, signature) in cases("nist_ecdsa"):
            assert material.EcdsaVerifier(point(public)).verify(message, signature) is valid, name
            judged[valid] += 1
        assert judged == {True: 3, False: 12}

    def test_judges_every_case_in_der(self) -> None:
        """DER is not our form: it is refused as it stands, and what a valid one says holds."""
        judged: Counter[bool] = Counter()
        for name, valid, (public, message, signature) in cases("wycheproof/ecdsa_der"):
            key = material.EcdsaVerifier(point(public))
            assert not key.verify(message, signature), name
            if valid:
                r, s = decode_dss_signature(signature)
                bare = r.to_bytes(32, "big") + s.to_bytes(32, "big")
                assert key.verify(message, bare), name
            judged[valid] += 1
        assert judged == {True: 174, False: 310}


class TestHmac:
    def test_judges_every_case(self) -> None:
        judged: Counter[str] = Counter()
        for name, valid, (key, message, tag) in cases("wycheproof/hmac_sha256"):
            mac = material.MacKey(key)
            # Half of the published ones are cut to 128 bits: as such they are none of ours.
            whole = len(tag) == len(mac.sign(message))
            assert mac.verify(message, tag) is (valid and whole), name
            assert (mac.sign(message)[: len(tag)] == tag) is valid, name
            judged[f"{'valid' if valid else 'invalid'}, {'whole' if whole else 'cut'}"] += 1
        assert judged == {
            "valid, whole": 33,
            "valid, cut": 33,
            "invalid, whole": 54,
            "invalid, cut": 54,
        }
