"""What strangers packed costs no more than its limit, whatever it hides."""

import gzip
import tracemalloc
import zlib

import pytest

from backend.kit.gunzip import GzipDamagedError, GzipTooLargeError, gunzip

# Without a time: all who run these tests together must find the same names of cases.
PACKED = gzip.compress(b"abc", mtime=0)


class TestGunzip:
    def test_members_one_after_the_other_are_one(self):
        assert gunzip(gzip.compress(b"ab") + gzip.compress(b"cd"), 4) == b"abcd"

    def test_takes_what_is_just_within_the_limit(self):
        made = bytes(300_000)
        assert gunzip(gzip.compress(made), 300_000) == made
        with pytest.raises(GzipTooLargeError):
            gunzip(gzip.compress(made), 299_999)

    def test_a_bomb_goes_off_no_further_than_the_limit(self):
        bomb = gzip.compress(bytes(100_000_000))
        tracemalloc.start()
        with pytest.raises(GzipTooLargeError):
            gunzip(bomb, 2**20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * 2**20

    def test_a_crowd_of_members_is_refused_before_it_has_cost_anything(self):
        crowd = gzip.compress(b"") * 250_000
        with pytest.raises(GzipTooLargeError):
            gunzip(crowd, 2**20)

    def test_zeros_behind_it_are_padding(self):
        assert gunzip(PACKED + bytes(512), 10) == b"abc"

    @pytest.mark.parametrize(
        "body",
        [
            b"x",
            PACKED[:-9],
            PACKED[:-1],
            PACKED + b"x",
            PACKED + bytes(512) + b"x",
            PACKED[:-8] + zlib.crc32(b"").to_bytes(4, "little") + PACKED[-4:],
        ],
    )
    def test_what_is_no_gzip_is_refused(self, body):
        with pytest.raises(GzipDamagedError):
            gunzip(body, 100)
