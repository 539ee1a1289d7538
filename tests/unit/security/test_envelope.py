"""The sealed envelope: its bytes are fixed, and no bit of them can change unnoticed."""

import os
import uuid
from itertools import product

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.security import (
    Keyring,
    KeyUnavailableError,
    RootKeys,
    SealBrokenError,
    SecurityManager,
)
from backend.managers.security import _envelope as envelope
from backend.managers.security._gcm import Gcm

KEY = bytes(range(32))
KEY_ID = "0199c0de-0000-7000-8000-000000000001"
OTHER_ID = "0199c0de-0000-7000-8000-000000000009"
NONCE = bytes.fromhex("000102030405060708090a0b")
CONTEXT = "email.content:0199c0de-0000-7000-8000-000000000002"
PLAIN = b"attack at dawn"
KNOWN = bytes.fromhex(
    "455301010000"  # ES, version 1, AES-256-GCM, reserved
    "0199c0de000070008000000000000001"
    "000102030405060708090a0b"
)


@pytest.fixture
def sealed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", lambda size: NONCE[:size])
        return envelope.seal(Gcm(KEY), KEY_ID, CONTEXT, PLAIN)


class TestSeal:
    def test_known_answer(self, sealed):
        assert sealed[:34] == KNOWN
        # The same by the primitive alone: header and place are what is authenticated.
        assert sealed[34:] == AESGCM(KEY).encrypt(NONCE, PLAIN, KNOWN + CONTEXT.encode())
        assert sealed.hex()[68:] == "2676a27aa68ee27af961f3eac68745d49f142ba070776cd1a9c6e73c8264"

    def test_never_repeats_itself(self):
        cipher = Gcm(KEY)
        made = {envelope.seal(cipher, KEY_ID, CONTEXT, PLAIN) for _ in range(100)}
        assert len({one[22:34] for one in made}) == 100

    def test_hides_empty_and_long_values(self):
        cipher = Gcm(KEY)
        for plain in (b"", os.urandom(1_000_000)):
            sealed = envelope.seal(cipher, KEY_ID, CONTEXT, plain)
            assert len(sealed) == 34 + len(plain) + 16
            assert envelope.unseal(cipher, CONTEXT, sealed) == plain


class TestUnseal:
    def test_refuses_any_changed_bit(self, sealed):
        ring = Keyring([(KEY_ID, KEY)])
        assert ring.open(CONTEXT, sealed) == PLAIN
        for position, bit in product(range(34 + len(PLAIN) + 16), range(8)):
            altered = bytearray(sealed)
            altered[position] ^= 1 << bit
            with pytest.raises(SealBrokenError) as refused:
                ring.open(CONTEXT, bytes(altered))
                pytest.fail(f"bit {bit} of byte {position}")
            assert str(refused.value) == SealBrokenError.title

    @given(
        plain=st.binary(max_size=100),
        context=st.text(max_size=30),
        other=st.text(max_size=30),
        at=st.integers(min_value=0),
    )
    def test_opens_for_one_key_and_one_place(self, plain, context, other, at):
        ring = Keyring([(KEY_ID, KEY), (OTHER_ID, KEY[::-1])], seals_with=KEY_ID)
        made = ring.seal(context, plain)
        assert ring.open(context, made) == plain
        wrong = [(context, made[:6] + uuid.UUID(OTHER_ID).bytes + made[22:])]
        if other != context:
            wrong.append((other, made))
        altered = bytearray(made)
        altered[at // 8 % len(made)] ^= 1 << at % 8
        wrong.append((context, bytes(altered)))
        for place, value in wrong:
            with pytest.raises(SealBrokenError):
                ring.open(place, value)

    def test_refuses_another_place(self, sealed):
        ring = Keyring([(KEY_ID, KEY)])
        for context in (CONTEXT[:-1] + "3", CONTEXT + "0", "", "email.smtp_password:x"):
            with pytest.raises(SealBrokenError):
                ring.open(context, sealed)

    def test_refuses_a_place_that_swallows_header_bytes(self, sealed):
        # The border between header and place is fixed by the header's length.
        with pytest.raises(SealBrokenError):
            envelope.unseal(Gcm(KEY), sealed[33:34].decode() + CONTEXT, sealed[:33] + sealed[34:])

    def test_refuses_another_tenants_key(self, sealed):
        other = Keyring([(str(uuid.uuid4()), os.urandom(32))])
        with pytest.raises(SealBrokenError):
            other.open(CONTEXT, sealed)
        same_id = Keyring([(KEY_ID, bytes(32))])
        with pytest.raises(SealBrokenError):
            same_id.open(CONTEXT, sealed)

    @pytest.mark.parametrize("length", [0, 1, 33, 34, 49])
    def test_refuses_what_was_cut_off(self, sealed, length):
        with pytest.raises(SealBrokenError):
            Keyring([(KEY_ID, KEY)]).open(CONTEXT, sealed[:length])


class TestKeyring:
    def test_seals_with_the_newest_and_opens_with_any(self):
        old, new = (str(uuid.uuid4()), os.urandom(32)), (str(uuid.uuid4()), os.urandom(32))
        before = Keyring([old]).seal(CONTEXT, PLAIN)
        ring = Keyring([old, new])
        after = ring.seal(CONTEXT, PLAIN)
        assert ring.open(CONTEXT, before) == ring.open(CONTEXT, after) == PLAIN
        assert envelope.key_id_of(after) == new[0]


class TestRootKeys:
    def test_a_wrapped_key_that_was_changed_or_moved_does_not_open(self):
        old, root = RootKeys([bytes(32)]), RootKeys([KEY, bytes(32)])
        for keys in (old, root):
            wrapped = keys.wrap(KEY_ID, "data_key:here", PLAIN)
            assert root.unwrap("data_key:here", wrapped) == PLAIN
            wrong = [("data_key:there", wrapped), ("data_key:here", b"")]
            for at in range(8 * len(wrapped)):
                altered = bytearray(wrapped)
                altered[at // 8] ^= 1 << at % 8
                wrong.append(("data_key:here", bytes(altered)))
            for place, value in wrong:
                with pytest.raises(KeyUnavailableError) as refused:
                    root.unwrap(place, value)
                    pytest.fail(value.hex())
                assert str(refused.value) == KeyUnavailableError.title
        with pytest.raises(KeyUnavailableError):
            old.unwrap("data_key:here", root.wrap(KEY_ID, "data_key:here", PLAIN))


class TestSecurityManager:
    @pytest.mark.parametrize("size", [0, 16, 31, 33])
    def test_refuses_a_root_key_of_another_size(self, size):
        with pytest.raises(ValueError, match="32 bytes"):
            SecurityManager(bytes(size))
