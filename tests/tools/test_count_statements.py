"""Tests of the counts of statements."""

from pathlib import Path

from tools.count_statements import packages, statements


def test_statements_are_counted_without_docstrings() -> None:
    source = '"""About."""\nA = 1\n"""About A."""\ndef one() -> int:\n    """About one."""\n    return A if A else 2\n'
    assert statements(source) == 3


def test_statements_are_counted_by_package_and_without_the_demo(tmp_path: Path) -> None:
    for name in ("a.py", "demo/b.py", "login/c.py", "login/steps/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("A = 1\n")
    assert packages(tmp_path) == {"": (1, 1), "login": (2, 2)}
