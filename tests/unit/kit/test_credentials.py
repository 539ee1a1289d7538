"""API keys and secrets: their shape, their checksum, what may be shown of them."""

import string

import pytest

from backend.kit.credentials import digest_of, is_well_formed, mint, shown_prefix


class TestMint:
    def test_makes_what_it_recognises(self):
        for _ in range(200):
            assert is_well_formed(mint("key"))

    def test_never_repeats(self):
        assert len({mint("key") for _ in range(500)}) == 500

    def test_says_what_it_is(self):
        key = mint("secret")
        assert key.startswith("es_secret_")
        assert len(key) == len("es_secret_") + 49


class TestIsWellFormed:
    def test_refuses_every_single_wrong_digit(self):
        key = mint("key")
        for place in range(len("es_key_"), len(key)):
            other = "A" if key[place] != "A" else "B"
            assert not is_well_formed(key[:place] + other + key[place + 1 :])

    def test_refuses_another_tag(self):
        assert not is_well_formed(mint("key").replace("es_key_", "es_secret_"))

    @pytest.mark.parametrize(
        "text", ["", "es_", "es_key_", "es_key_short", "xx_key_" + "0" * 49, "es_key_" + "é" * 49]
    )
    def test_refuses_other_text(self, text):
        assert not is_well_formed(text)

    def test_refuses_what_follows(self):
        assert not is_well_formed(mint("key") + "\n")


class TestShownPrefix:
    def test_shows_four_digits_of_the_random_part(self):
        key = mint("key")
        assert shown_prefix(key) == key[: len("es_key_") + 4]


class TestDigestOf:
    def test_is_sha_256(self):
        assert digest_of("abc").hex().startswith("ba7816bf8f01cfea")
        assert len(digest_of(string.ascii_letters)) == 32
