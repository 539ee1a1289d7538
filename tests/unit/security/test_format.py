"""The format es1: fixed byte by byte, and nothing of it can change unnoticed."""

import base64
import json
import os
import subprocess
import sys
import uuid
from itertools import product
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.security import SealBrokenError
from backend.managers.security import _format as es1

FORMATS = Path(__file__).parents[3] / "docs" / "formats"
DECRYPTOR = FORMATS / "es1_decrypt.py"
VECTORS = json.loads((FORMATS / "es1_vectors.json").read_text())
TENANT, OTHER_TENANT = str(uuid.UUID(int=10)), str(uuid.UUID(int=11))
KEY, OTHER_KEY = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
MATERIAL = bytes(range(32))


def open_any(material: bytes, sealed: bytes, context: bytes) -> bytes:
    """As the platform opens: the version is the one that the header names, of a known key."""
    tenant_id, key_id = (
        str(uuid.UUID(bytes=sealed[at : at + 16].ljust(16, b"\0"))) for at in (4, 20)
    )
    version = es1.version_of(sealed, tenant_id, key_id)
    if not 1 <= version <= es1.MAX_VERSION:
        raise SealBrokenError
    return es1.VersionCipher(tenant_id, key_id, version, material).decrypt(sealed, context)


def run_decryptor(*arguments: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", str(DECRYPTOR), *arguments],
        input=text.encode(),
        capture_output=True,
        check=False,
    )


class TestVectors:
    def test_are_what_is_made_of_their_parts(self, monkeypatch):
        for one in VECTORS["open"]:
            monkeypatch.setattr(os, "urandom", lambda size, one=one: bytes.fromhex(one["nonce"]))
            cipher = es1.VersionCipher(
                one["tenant_id"], one["key_id"], one["version"], bytes.fromhex(one["material"])
            )
            sealed = bytes(cipher.encrypt(bytes.fromhex(one["plaintext"]), one["context"].encode()))
            assert sealed.hex() == one["sealed"], one["name"]
            assert es1.to_text(sealed) == one["text"], one["name"]
            assert es1.from_text(one["text"]) == sealed, one["name"]

    def test_open(self):
        for one in VECTORS["open"]:
            found = open_any(
                bytes.fromhex(one["material"]),
                bytes.fromhex(one["sealed"]),
                one["context"].encode(),
            )
            assert found.hex() == one["plaintext"], one["name"]

    def test_are_by_the_primitives_alone_what_the_document_says(self):
        for one in VECTORS["open"]:
            sealed, material = bytes.fromhex(one["sealed"]), bytes.fromhex(one["material"])
            who = b"".join(
                (
                    b"es1\x01",
                    uuid.UUID(one["tenant_id"]).bytes,
                    uuid.UUID(one["key_id"]).bytes,
                    one["version"].to_bytes(4, "big"),
                )
            )
            key, commitment = (
                HKDFExpand(SHA256(), 32, b"es1 " + label + b"\0" + who).derive(material)
                for label in (b"encryption", b"commitment")
            )
            nonce = bytes.fromhex(one["nonce"])
            header = who + commitment + nonce
            assert sealed == header + AESGCM(key).encrypt(
                nonce, bytes.fromhex(one["plaintext"]), header + one["context"].encode()
            ), one["name"]

    def test_refuse_with_one_error(self):
        assert len(VECTORS["refuse"]) > 15
        for one in VECTORS["refuse"]:
            with pytest.raises(SealBrokenError) as refused:
                open_any(
                    bytes.fromhex(one["material"]),
                    es1.from_text(one["text"]),
                    one["context"].encode(),
                )
                pytest.fail(one["wrong"])
            assert str(refused.value) == SealBrokenError.title, one["wrong"]


class TestDecryptor:
    """What stands in the documentation, as whoever has lost the platform would run it."""

    def test_opens_the_vectors_and_refuses_the_others_in_one_way(self):
        assert len(DECRYPTOR.read_text().splitlines()) < 100
        wanted = [(one, 0) for one in VECTORS["open"]] + [(one, 1) for one in VECTORS["refuse"]]
        for one, code in wanted:
            material = base64.b64encode(bytes.fromhex(one["material"])).decode()
            done = run_decryptor(material, "-", one["context"], text=one["text"])
            name = one.get("name", one.get("wrong"))
            # A blank at the end of what is piped in is the shell's.
            if name == "text: a blank":
                done = run_decryptor(material, one["text"], one["context"])
            said = (done.returncode, done.stdout.hex(), done.stderr.decode())
            expected = (0, one["plaintext"], "") if code == 0 else (1, "", "It does not open\n")
            assert said == expected, name

    def test_opens_a_megabyte_of_the_platform(self):
        plain = os.urandom(1024 * 1024)
        sealed = es1.VersionCipher(TENANT, KEY, 7, MATERIAL).encrypt(plain, b"orders")
        material = base64.b64encode(MATERIAL).decode()
        done = run_decryptor(material, "-", "orders", text=es1.to_text(sealed))
        assert done.stdout == plain

    def test_says_how_it_is_called(self):
        done = run_decryptor("one")
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"MATERIAL CIPHERTEXT" in done.stderr


class TestVersionCipher:
    @given(
        plain=st.binary(max_size=200),
        context=st.binary(max_size=60),
        at=st.integers(min_value=0),
        bit=st.integers(min_value=0, max_value=7),
    )
    def test_any_bit_that_changes_is_refused(self, plain, context, at, bit):
        cipher = es1.VersionCipher(TENANT, KEY, 3, MATERIAL)
        sealed = bytes(cipher.encrypt(plain, context))
        assert cipher.decrypt(sealed, context) == plain
        altered = bytearray(sealed)
        altered[at % len(sealed)] ^= 1 << bit
        with pytest.raises(SealBrokenError):
            cipher.decrypt(bytes(altered), context)
        with pytest.raises(SealBrokenError):
            open_any(MATERIAL, bytes(altered), context)

    def test_every_bit_of_one_is_refused(self):
        cipher = es1.VersionCipher(TENANT, KEY, 3, MATERIAL)
        sealed = bytes(cipher.encrypt(b"attack at dawn", b"orders"))
        for at in range(8 * len(sealed)):
            altered = bytearray(sealed)
            altered[at // 8] ^= 1 << at % 8
            for opening in (
                lambda one=bytes(altered): cipher.decrypt(one, b"orders"),
                lambda one=bytes(altered): open_any(
                    MATERIAL, es1.from_text(es1.to_text(one)), b"orders"
                ),
            ):
                with pytest.raises(SealBrokenError) as refused:
                    opening()
                    pytest.fail(f"bit {at}")
                assert str(refused.value) == SealBrokenError.title

    def test_every_bit_of_a_text_is_refused(self):
        cipher = es1.VersionCipher(TENANT, KEY, 3, MATERIAL)
        for plain in (b"", b"a", b"ab", b"attack at dawn"):
            text = es1.to_text(cipher.encrypt(plain, b"orders"))
            for at, bit in product(range(len(text)), range(8)):
                altered = text[:at] + chr(ord(text[at]) ^ 1 << bit) + text[at + 1 :]
                with pytest.raises(SealBrokenError) as refused:
                    open_any(MATERIAL, es1.from_text(altered), b"orders")
                    pytest.fail(altered)
                assert str(refused.value) == SealBrokenError.title

    @given(
        plain=st.binary(max_size=100),
        context=st.binary(max_size=40),
        other=st.binary(max_size=40),
        version=st.integers(min_value=1, max_value=es1.MAX_VERSION),
    )
    def test_opens_for_one_tenant_key_version_and_context(self, plain, context, other, version):
        who = (TENANT, KEY, version, MATERIAL)
        sealed = bytes(es1.VersionCipher(*who).encrypt(plain, context))
        assert es1.version_of(sealed, TENANT, KEY) == version
        for foreign in (
            (OTHER_TENANT, *who[1:]),
            (TENANT, OTHER_KEY, version, MATERIAL),
            (TENANT, KEY, version % es1.MAX_VERSION + 1, MATERIAL),
            (TENANT, KEY, version, MATERIAL[::-1]),
        ):
            with pytest.raises(SealBrokenError):
                es1.VersionCipher(*foreign).decrypt(sealed, context)
        if other != context:
            with pytest.raises(SealBrokenError):
                es1.VersionCipher(*who).decrypt(sealed, other)

    def test_no_byte_wanders_between_header_and_context(self):
        cipher = es1.VersionCipher(TENANT, KEY, 1, MATERIAL)
        sealed = bytes(cipher.encrypt(b"plain", b"orders"))
        with pytest.raises(SealBrokenError):
            cipher.decrypt(sealed[:83] + sealed[84:], sealed[83:84] + b"orders")

    @given(cut=st.integers(min_value=0, max_value=113))
    def test_refuses_what_was_cut_off(self, cut):
        cipher = es1.VersionCipher(TENANT, KEY, 1, MATERIAL)
        sealed = bytes(cipher.encrypt(b"attack at dawn", b""))
        with pytest.raises(SealBrokenError):
            cipher.decrypt(sealed[:cut], b"")
        with pytest.raises(SealBrokenError):
            es1.version_of(sealed[:cut][:99], TENANT, KEY)

    @pytest.mark.parametrize("size", [0, 1, 32 * 1024, 32 * 1024 + 1, 1024 * 1024])
    def test_has_one_form_for_all_sizes(self, size):
        cipher = es1.VersionCipher(TENANT, KEY, 1, MATERIAL)
        plain = os.urandom(size)
        sealed = bytes(cipher.encrypt(plain, b"orders"))
        assert len(sealed) == size + 100
        assert cipher.decrypt(bytes(sealed), b"orders") == plain

    def test_never_takes_a_nonce_twice(self):
        cipher = es1.VersionCipher(TENANT, KEY, 1, MATERIAL)
        assert len({bytes(cipher.encrypt(b"", b"")[72:84]) for _ in range(1000)}) == 1000

    def test_commits_to_its_key(self):
        """One ciphertext and two keys: what GCM alone would let pass, the header does not."""
        made = es1.VersionCipher(TENANT, KEY, 1, MATERIAL)
        other = es1.VersionCipher(TENANT, KEY, 1, MATERIAL[::-1])
        assert made.commitment != other.commitment
        sealed = bytes(made.encrypt(b"plain", b""))
        # Whoever could make the rest open under the other key would need its commitment in place
        # of this one, and then it does not open under the first.
        swapped = sealed[:40] + other.commitment + sealed[72:]
        for cipher in (made, other):
            with pytest.raises(SealBrokenError):
                cipher.decrypt(swapped, b"")

    @pytest.mark.parametrize("version", [0, -1, 2**32])
    def test_refuses_a_version_that_its_header_cannot_hold(self, version):
        with pytest.raises(ValueError, match="no version"):
            es1.VersionCipher(TENANT, KEY, version, MATERIAL)

    @pytest.mark.parametrize("size", [0, 16, 31, 33])
    def test_refuses_material_of_another_size(self, size):
        with pytest.raises(ValueError, match="32 bytes"):
            es1.VersionCipher(TENANT, KEY, 1, bytes(size))


class TestText:
    @given(st.binary(max_size=300))
    def test_says_the_bytes(self, sealed):
        assert es1.from_text(es1.to_text(sealed)) == sealed

    @given(st.binary(min_size=1, max_size=40), st.data())
    def test_is_the_only_one_of_its_ciphertext(self, sealed, data):
        text = es1.to_text(sealed)
        at = data.draw(st.integers(min_value=0, max_value=len(text) - 1))
        sign = data.draw(st.characters(max_codepoint=0x17F).filter(lambda one: one != text[at]))
        try:
            found = es1.from_text(text[:at] + sign + text[at + 1 :])
        except SealBrokenError:
            return
        assert found != sealed

    @pytest.mark.parametrize("text", ["", "es1", "ES1:AAAA", "es1:A", "es1:A A", "es1:ä"])
    def test_refuses_what_is_none(self, text):
        with pytest.raises(SealBrokenError):
            es1.from_text(text)
