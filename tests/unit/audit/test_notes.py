"""Signed notes: the published example, and what is none."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.managers.audit._notes import NoteInvalidError, Signer, Verifier

# The example of the package that the format was taken from (golang.org/x/mod/sumdb/note).
NAME = "PeterNeumann"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NOTE = (
    f"{TEXT}\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SIGNER = Signer("log.example/one", bytes(range(32)))


class TestNotes:
    def test_the_published_example(self) -> None:
        signer = Signer(NAME, SEED)
        assert signer.verifier.text == KEY
        assert signer.sign(TEXT) == NOTE
        assert signer.verifier.open(NOTE) == TEXT

    def test_signatures_of_others_are_passed_over(self) -> None:
        note = SIGNER.sign_checkpoint(7, bytes(32))
        theirs = Signer("witness.example", bytes(32)).sign(SIGNER.verifier.open(note))
        line = theirs.splitlines()[-1]
        namesake = Signer(SIGNER.verifier.name, bytes(32)).sign(SIGNER.verifier.open(note))
        body, ours = note.rsplit("\u2014", 1)
        both = f"{body}{line}\n{namesake.splitlines()[-1]}\n\u2014 log.example/one !\n\u2014{ours}"
        assert SIGNER.verifier.checkpoint(both).size == 7

    @given(st.integers(0, 2**62), st.binary(min_size=32, max_size=32))
    def test_a_checkpoint_says_what_was_signed(self, size: int, root: bytes) -> None:
        said = SIGNER.verifier.checkpoint(SIGNER.sign_checkpoint(size, root))
        assert (said.origin, said.size, said.root) == ("log.example/one", size, root)

    def test_every_bit_counts(self) -> None:
        note = SIGNER.sign_checkpoint(300, bytes(range(32)))
        raw = note.encode()
        held = []
        for at in range(len(raw)):
            for bit in range(8):
                altered = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
                try:
                    SIGNER.verifier.checkpoint(altered.decode())
                except (NoteInvalidError, UnicodeDecodeError):
                    continue
                held.append((at, bit))
        assert held == []

    @pytest.mark.parametrize(
        "note",
        [
            "",
            "\n\n",
            "text\n",
            NOTE,
            SIGNER.sign("log.example/one\n1\n"),
            SIGNER.sign("log.example/one\n01\n" + base64.b64encode(bytes(32)).decode() + "\n"),
            SIGNER.sign("log.example/one\n-1\n" + base64.b64encode(bytes(32)).decode() + "\n"),
            SIGNER.sign("log.example/one\n1\n" + base64.b64encode(bytes(31)).decode() + "\n"),
            SIGNER.sign("log.example/two\n1\n" + base64.b64encode(bytes(32)).decode() + "\n"),
            SIGNER.sign("log.example/one\n1\n" + base64.b64encode(bytes(32)).decode() + "\nmore\n"),
            SIGNER.sign_checkpoint(1, bytes(32)) + "more",
        ],
    )
    def test_what_is_no_checkpoint(self, note: str) -> None:
        with pytest.raises(NoteInvalidError):
            SIGNER.verifier.checkpoint(note)

    def test_another_key_of_the_name_is_another(self) -> None:
        other = Signer("log.example/one", bytes(32))
        assert other.verifier.id != SIGNER.verifier.id
        with pytest.raises(NoteInvalidError):
            other.verifier.checkpoint(SIGNER.sign_checkpoint(1, bytes(32)))
        renamed = Verifier("log.example/two", SIGNER.verifier.public)
        with pytest.raises(NoteInvalidError):
            renamed.checkpoint(SIGNER.sign_checkpoint(1, bytes(32)))
