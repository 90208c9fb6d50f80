"""Tests of the changes that `make mutations` draws."""

import pytest

from tools.mutants import draw, mutations


def changed(source: str) -> set[str]:
    """Returns the source after each mutation, without its common lines."""
    return {one.apply(source) for one in mutations(source) if one.changes(source)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a = b == c", {"a = b != c"}),
        ("a = b < c <= d", {"a = b <= c <= d", "a = b < c < d"}),
        ("a = b is not c", {"a = b is c"}),
        ("a = b and c", {"a = b or c", "a = ((b))", "a = ((c))"}),
        ("a = not b", {"a = (b)"}),
        ("a = 5", {"a = 6", "a = 4"}),
        ("a = True", {"a = False"}),
        ("a = f(b, c)", {"a = f(c, b)"}),
        ("a = 'é' if b else c", {"a = 'é' if not (b) else c"}),
        ("def f() -> bool:\n    return g()", {f"def f() -> bool:\n    return {word}" for word in ("True", "False")}),
        ("def f():\n    return g()", {"def f():\n    return None"}),
        ("async def f():\n    await g()", {"async def f():\n    pass"}),
        ("def f():\n    raise E(1)", {"def f():\n    pass"}),
    ],
)
def test_a_decision_is_changed(before: str, after: set[str]) -> None:
    assert changed(before) == after


@pytest.mark.parametrize(
    "source",
    [
        "a: Literal[1]",
        "class A:\n    def __repr__(self):\n        return self.a == 1",
        "@dataclass(frozen=True)\nclass A:\n    a: int",
        "class A(Protocol):\n    a: int = 1",
        "def f():\n    log.info('a', b=1)",
        "a = f'{b == 1}'",
        "assert a == 1",
        "if TYPE_CHECKING:\n    a = 1",
    ],
)
def test_code_without_a_decision_stays_as_it_is(source: str) -> None:
    assert mutations(source) == []


def test_the_lines_of_a_mutation_are_those_of_its_statement() -> None:
    (one,) = mutations("def f():\n    a = g(\n        b,\n        c=not d,\n    )\n")
    assert list(one.lines) == [2, 3, 4]


def test_a_mutation_outside_a_function_has_no_lines() -> None:
    assert {tuple(one.lines) for one in mutations("A = 1\n\ndef f(b=2):\n    pass\n")} == {()}


def test_a_seed_draws_the_same_mutations_and_a_larger_draw_begins_with_them() -> None:
    sources = {"a.py": "a = b < 5 and c", "b.py": "d = e(f, g)\nh = 1\n"}
    assert draw(sources, 3, 7) == draw(sources, 5, 7)[:3]
    assert draw(sources, 8, 7) != draw(sources, 8, 8)
