"""A sealed record that was changed in any bit is known to be damaged; a slate can be written on a full disk."""

from __future__ import annotations

import json
import random

import pytest

from palenka_tune.config.sealed import Slate, crc_of, read_sealed, seal, unseal, write_sealed
from palenka_tune.errors import PalenkaError

RECORDS = [{"a": 1}, {"a": 1.5, "b": None, "c": "žluťoučký \n kůň"}, {"crc": "x", "nested": {"crc": "00000000"}}]


@pytest.mark.parametrize("record", RECORDS)
def test_what_was_sealed_comes_back_and_stays_json(record):
    line = seal(record)
    assert b"\n" not in line
    assert unseal(line) == record
    assert {**json.loads(line), "crc": record.get("crc")} == {**record, "crc": record.get("crc")}


@pytest.mark.parametrize("record", RECORDS)
def test_every_flipped_bit_is_found(record):
    line = seal(record)
    for at in range(len(line)):
        for bit in range(8):
            damaged = bytearray(line)
            damaged[at] ^= 1 << bit
            assert unseal(bytes(damaged)) is None, (at, bit)


def test_lines_of_a_chain_cannot_be_left_out_or_moved():
    first = seal({"n": 1})
    second = seal({"n": 2}, crc_of(first))
    third = seal({"n": 3}, crc_of(second))
    assert unseal(third, crc_of(second)) == {"n": 3}
    assert unseal(third, crc_of(first)) is None
    assert unseal(second) is None


@pytest.mark.parametrize("text", [b"", b"{}", b"garbage", b'{"a":1}', b"\x00" * 40])
def test_what_was_never_sealed_is_damaged(text):
    assert unseal(text) is None


def test_a_sealed_file_says_when_it_is_damaged(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(PalenkaError, match="does not exist"):
        read_sealed(path)
    write_sealed(path, {"a": 1})
    assert read_sealed(path) == {"a": 1}
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(PalenkaError, match="is damaged; delete it"):
        read_sealed(path)


def test_a_slate_is_rewritten_in_place(tmp_path):
    slate = Slate(tmp_path / "slate")
    assert slate.read() is None
    generator = random.Random(0)
    for _ in range(20):
        record = {"step": generator.randrange(10**9), "text": "x" * generator.randrange(300)}
        slate.write(record)
        assert slate.read() == record
        assert slate.path.stat().st_size == Slate.SIZE
