"""Bytes a token of teachers that people have, against what the columns of a cache take."""

from __future__ import annotations

from benchmarks.cache_sizes import TEACHERS, bytes_of, measure


def test_bytes_are_those_of_the_formulas():
    teacher, vocabulary = TEACHERS["Qwen2.5-0.5B"]
    assert bytes_of(teacher, vocabulary, "final_hidden") == 2 * 896
    assert bytes_of(teacher, vocabulary, "sampled") == 64 * 4 + 4  # ids of 32 bits, and the entropy
    assert bytes_of(teacher, vocabulary, "dense") == 2 * 151_936
    assert bytes_of(teacher, vocabulary, None, hidden=True) == 2 * 64


def test_the_table_has_a_row_for_every_teacher():
    report = measure(10.0)
    assert [row[0] for row in report.rows] == list(TEACHERS)
    assert all(len(row) == len(report.columns) for row in report.rows)
    assert report.rows[0][3] == "1,536"
    assert report.rows[0][-1] == "15.36 GB"
