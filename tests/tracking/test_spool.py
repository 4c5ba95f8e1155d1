import json

import pytest

from palenka_tune.errors import PalenkaError
from palenka_tune.tracking.spool import SHIPPED, SPOOL, Shipped, Spool, load_runs, read_events, spool_name


def logged(path, *, seq=-1, offset=0):
    return [event["n"] for _, _, event in read_events(path, seq, offset) if event and "n" in event]


def test_events_come_back_in_order_with_number_and_time(tmp_path):
    spool = Spool(tmp_path / "run")
    assert [spool.append({"op": "x", "n": n}) for n in range(3)] == [1, 2, 3]
    events = [event for _, _, event in read_events(spool.path)]
    assert [event["seq"] for event in events] == [0, 1, 2, 3]
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert times[0] > 1_600_000_000_000  # milliseconds


def test_reading_goes_on_at_an_offset(tmp_path):
    spool = Spool(tmp_path)
    for n in range(5):
        spool.append({"op": "x", "n": n, "text": "žluťoučký\nkůň"})
    seq, offset, _ = list(read_events(spool.path))[2]
    assert logged(spool.path, seq=seq, offset=offset) == [2, 3, 4]


def test_an_offset_that_does_not_fit_counts_lines_instead(tmp_path):
    spool = Spool(tmp_path)
    for n in range(5):
        spool.append({"op": "x", "n": n})
    assert logged(spool.path, seq=3, offset=7) == [3, 4]
    assert logged(spool.path, seq=9, offset=10**6) == []


@pytest.mark.parametrize("torn", [b'{"seq": 3, "op": "x", "n"', b"\x00\x00\x00"])
def test_a_torn_last_line_is_dropped_on_open(tmp_path, torn):
    spool = Spool(tmp_path)
    for n in range(2):
        spool.append({"op": "x", "n": n})
    with spool.path.open("ab") as file:
        file.write(torn)
    assert logged(spool.path) == [0, 1]  # a reader leaves it alone
    again = Spool(tmp_path)
    assert again.append({"op": "x", "n": 2}) == 3
    assert logged(spool.path) == [0, 1, 2]
    assert [json.loads(line)["seq"] for line in spool.path.read_text().splitlines()] == [0, 1, 2, 3]


def test_a_last_line_that_only_lacks_its_end_is_kept(tmp_path):
    spool = Spool(tmp_path)
    spool.append({"op": "x", "n": 0})
    spool.path.write_bytes(spool.path.read_bytes().rstrip(b"\n"))
    assert Spool(tmp_path).append({"op": "x", "n": 1}) == 2
    assert logged(spool.path) == [0, 1]


def test_a_damaged_line_in_the_middle_keeps_its_number(tmp_path):
    spool = Spool(tmp_path)
    for n in range(3):
        spool.append({"op": "x", "n": n})
    lines = spool.path.read_bytes().split(b"\n")
    spool.path.write_bytes(b"\n".join([*lines[:2], b"garbage", *lines[3:]]))
    assert [(seq, event is None) for seq, _, event in read_events(spool.path)] == [
        (0, False),
        (1, False),
        (2, True),
        (3, False),
    ]


def test_a_full_disk_leaves_no_half_line(tmp_path):
    resource = pytest.importorskip("resource")
    spool = Spool(tmp_path)
    spool.append({"op": "x", "n": 0})
    size = spool.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
    try:
        assert spool.append({"op": "x", "n": 1, "text": "a" * 1000}) == 2
        assert spool.append({"op": "x", "n": 2, "text": "a" * 1000}) == 3  # again: no part of it may stay either
        assert spool.unwritten == 2
        assert spool.path.stat().st_size == size
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert spool.append({"op": "x", "n": 3}) == 4
    assert spool.unwritten == 0
    assert logged(spool.path) == [0, 1, 2, 3]


def test_the_name_in_the_store_is_kept_and_differs_between_folders_of_one_name(tmp_path):
    first, second = Spool(tmp_path / "a" / "it's mine"), Spool(tmp_path / "b" / "it's mine")
    assert spool_name(first.path).startswith("it_s_mine-")
    assert spool_name(first.path) != spool_name(second.path)
    assert spool_name(Spool(tmp_path / "a" / "it's mine").path) == spool_name(first.path)


def test_a_foreign_file_is_named(tmp_path):
    path = tmp_path / SPOOL
    path.write_text('{"hello": 1}\n')
    with pytest.raises(PalenkaError, match=SPOOL):
        spool_name(path)


def test_shipped_round_trip_and_damage(tmp_path):
    shipped = Shipped("http://host", "experiment", seq=4, offset=99)
    shipped.save(tmp_path)
    assert Shipped.load(tmp_path) == shipped
    (tmp_path / SHIPPED).write_text('{"something": 1}')
    with pytest.raises(PalenkaError, match="damaged"):
        Shipped.load(tmp_path)
    assert load_runs(tmp_path) == {}
