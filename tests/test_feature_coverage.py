"""Tests of the table of rows."""

import pytest

from tests.feature_coverage import groups, verdict
from tests.feature_coverage_plugin import without_group


@pytest.mark.parametrize(
    ("results", "word"),
    [
        ({"a": "passed", "b": "passed"}, "passed"),
        ({"a": "passed", "b": "skipped"}, "skipped"),
        ({"a": "passed"}, "not run"),
        ({"a": "failed", "b": "passed"}, "failed"),
        ({"a": "failed"}, "failed"),
    ],
)
def test_a_row_has_the_worst_verdict_of_its_tests(results: dict[str, str], word: str) -> None:
    assert verdict(["a", "b"], {test: {"verdict": one} for test, one in results.items()}) == word


def test_a_row_without_tests_is_reported() -> None:
    assert verdict([], {}) == "no test"


def test_no_row_is_in_two_groups() -> None:
    rows = [row for group in groups().values() for row in group]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(
    ("seen", "test"),
    [("t.py::a@heavy", "t.py::a"), ("t.py::a[x@y.z]", "t.py::a[x@y.z]"), ("t.py::a[x@y]@heavy", "t.py::a[x@y]")],
)
def test_the_xdist_group_is_not_part_of_a_test_id(seen: str, test: str) -> None:
    assert without_group(seen) == test
