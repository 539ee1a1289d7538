"""What versions of keys can do, held against the published vectors of their algorithms."""

import base64
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.security import _material as material
from backend.managers.security._gcm import Gcm
from backend.managers.security.errors import SealBrokenError

NIST = json.loads((Path(__file__).parent / "nist_gcm.json").read_text())["cases"]
# RFC 8032, section 7.1, tests 1 to 3 and SHA(abc): secret, public, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
# RFC 6979, A.2.5: P-256 with SHA-256. Their nonces are not ours, their signatures hold here too.
P256_SECRET = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RFC_6979 = [
    (
        b"sample",
        (
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        ),
    ),
    (
        b"test",
        (
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083"
        ),
    ),
]
# RFC 4231, all but the fifth, which is cut short: key, message, HMAC-SHA256.
RFC_4231 = [
    (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (
        b"\xaa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. "
            b"The key needs to be hashed before being used by the HMAC algorithm."
        ),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


class TestGcm:
    def test_is_the_one_of_nist(self):
        opened = refused = 0
        for one in NIST:
            key, nonce, data, sealed = (
                bytes.fromhex(one[name]) for name in ("key", "nonce", "data", "sealed")
            )
            if one["plaintext"] is None:
                with pytest.raises(SealBrokenError):
                    Gcm(key).open(nonce, sealed, data)
                    pytest.fail(str(one))
                refused += 1
                continue
            plain = bytes.fromhex(one["plaintext"])
            assert Gcm(key).open(nonce, sealed, data) == plain, one
            assert Gcm(key).seal(b"", nonce, plain, data) == sealed, one
            opened += 1
        assert opened >= 40
        assert refused >= 40


class TestEd25519Key:
    def test_is_the_one_of_rfc_8032(self):
        for secret, _, message, signature in RFC_8032:
            key = material.Ed25519Key(bytes.fromhex(secret))
            assert key.sign(bytes.fromhex(message)).hex() == signature
            assert key.verify(bytes.fromhex(message), bytes.fromhex(signature))

    def test_hands_out_the_public_half(self):
        for secret, public, *_ in RFC_8032:
            pem = material.public_key_of("ed25519", bytes.fromhex(secret))
            assert pem is not None
            loaded: Any = load_pem_public_key(pem.encode())
            assert loaded.public_bytes_raw().hex() == public

    def test_refuses_what_only_looks_like_a_signature(self):
        secret, _, message, signature = RFC_8032[2]
        key, bare = material.Ed25519Key(bytes.fromhex(secret)), bytes.fromhex(signature)
        order = 2**252 + 27742317777372353535851937790883648493
        s = int.from_bytes(bare[32:], "little")
        for name, wrong in {
            "empty": b"",
            "cut": bare[:-1],
            "longer": bare + b"\0",
            "zeros": bytes(64),
            # RFC 8032, 5.1.7: S beyond the order would be a second signature of the same message.
            "S + order": bare[:32] + (s + order).to_bytes(32, "little"),
            "R of small order": (1).to_bytes(32, "little") + bare[32:],
            "halves swapped": bare[32:] + bare[:32],
            "S of zero": bare[:32] + bytes(32),
        }.items():
            assert not key.verify(bytes.fromhex(message), wrong), name
        assert not key.verify(b"another", bare)


class TestEcdsaKey:
    def test_takes_the_signatures_of_rfc_6979(self):
        key = material.EcdsaKey(bytes.fromhex(P256_SECRET))
        for message, signature in RFC_6979:
            assert key.verify(message, bytes.fromhex(signature))
            assert not key.verify(message + b"!", bytes.fromhex(signature))

    def test_refuses_what_only_looks_like_a_signature(self):
        key = material.EcdsaKey(bytes.fromhex(P256_SECRET))
        message, text = RFC_6979[0]
        bare = bytes.fromhex(text)
        r, s = bare[:32], bare[32:]
        order, zero, one = P256_ORDER.to_bytes(32, "big"), bytes(32), (1).to_bytes(32, "big")
        for name, wrong in {
            "empty": b"",
            "cut": bare[:-1],
            "longer": bare + b"\0",
            "r of zero": zero + s,
            "s of zero": r + zero,
            "both zero": zero + zero,
            "both one": one + one,
            "r of the order": order + s,
            "s of the order": r + order,
            "r beyond the order": b"\xff" * 32 + s,
            "swapped": s + r,
            "as DER": bytes.fromhex("3045022100") + r + bytes.fromhex("022100") + s,
        }.items():
            assert not key.verify(message, wrong), name

    def test_signs_what_anybody_can_check(self):
        made = material.make_material("ecdsa-p256")
        key = material.EcdsaKey(made)
        assert len(key.sign(b"message")) == 64
        bare = key.sign(b"message")
        assert key.verify(b"message", bare)
        pem = material.public_key_of("ecdsa-p256", made)
        assert pem is not None
        loaded: Any = load_pem_public_key(pem.encode())
        r, s = (int.from_bytes(part, "big") for part in (bare[:32], bare[32:]))
        loaded.verify(encode_dss_signature(r, s), b"message", ECDSA(SHA256()))

    def test_draws_again_what_is_no_scalar(self, monkeypatch):
        drawn = [bytes(32), b"\xff" * 32, P256_ORDER.to_bytes(32, "big"), bytes([7]) * 32]
        monkeypatch.setattr(os, "urandom", lambda _: drawn.pop(0))
        assert material.make_material("ecdsa-p256") == bytes([7]) * 32
        assert drawn == []


class TestMacKey:
    def test_is_the_one_of_rfc_4231(self):
        for key, message, mac in RFC_4231:
            assert material.MacKey(key).sign(message).hex() == mac
            assert material.MacKey(key).verify(message, bytes.fromhex(mac))
            assert not material.MacKey(key).verify(message, bytes.fromhex(mac)[:-1])
            assert not material.MacKey(key).verify(message + b"!", bytes.fromhex(mac))

    def test_has_no_public_half(self):
        for key_type in ("hmac-sha256", "aes256-gcm"):
            assert material.public_key_of(key_type, bytes(32)) is None


class TestAnyKey:
    @pytest.mark.parametrize("key_type", ["hmac-sha256", "ed25519", "ecdsa-p256"])
    def test_no_bit_of_message_or_signature_may_change(self, key_type):
        who = (str(uuid.UUID(int=1)), str(uuid.UUID(int=2)), 1)
        key: Any = material.version_from(key_type, *who, material.make_material(key_type))
        other: Any = material.version_from(key_type, *who, material.make_material(key_type))
        message = b"attack at dawn"
        bare = key.sign(message)
        assert key.verify(message, bare)
        assert not other.verify(message, bare)
        for said, altered in ((bare, 1), (message, 0)):
            for at in range(8 * len(said)):
                wrong = bytearray(said)
                wrong[at // 8] ^= 1 << at % 8
                pair = (message, bytes(wrong)) if altered else (bytes(wrong), bare)
                assert key.verify(*pair) is False, (altered, at)


class TestSignatureText:
    @given(st.integers(min_value=1, max_value=2**32 - 1), st.binary(min_size=1, max_size=64))
    def test_says_version_and_bytes(self, version, bare):
        text = material.signature_text(version, bare)
        assert material.read_signature(text) == (version, bare)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "v1",
            "v1.",
            "1.AAAA",
            "v0.AAAA",
            "v01.AAAA",
            "v1.AAAA=",
            "v1.AB",
            "v1.A",
            "v1.A+A/",
            "v1.AAAA\n",
            "v99999999999.AAAA",
        ],
    )
    def test_refuses_what_is_none(self, text):
        assert material.read_signature(text) is None


class TestMakeMaterial:
    def test_is_32_bytes_and_never_the_same(self):
        for key_type in ("aes256-gcm", "hmac-sha256", "ed25519", "ecdsa-p256"):
            made = {material.make_material(key_type) for _ in range(20)}
            assert len(made) == 20
            assert {len(one) for one in made} == {32}
            assert base64.b64encode(made.pop())
