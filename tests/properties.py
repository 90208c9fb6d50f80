"""Property tests that count the examples that reach the assertion, and text that is valid or nearly valid."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

Reached = Callable[[], None]
"""A property test calls it when an example reaches its assertion."""


def property_test(*strategies: Any, least: float, **named: Any) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """As hypothesis' `given`, for a test whose first argument is `Reached`.

    The test also fails when a smaller part than `least` (0 to 1) of its examples called that: a property that nearly
    every example leaves early is not shown by it.
    """

    def decorate(test: Callable[..., None]) -> Callable[[], None]:
        counts = {"ran": 0, "reached": 0}

        def reached() -> None:
            counts["reached"] += 1

        @functools.wraps(test)
        def example(*arguments: Any, **options: Any) -> None:
            counts["ran"] += 1
            test(reached, *arguments, **options)

        signature = inspect.signature(test)
        example.__signature__ = signature.replace(  # type: ignore[attr-defined]  # the arguments that `given` fills
            parameters=list(signature.parameters.values())[1:]
        )
        examples: Callable[[], None] = given(*strategies, **named)(example)  # type: ignore[no-untyped-call]

        # Without this hypothesis keeps no failed example of a run whose seed was given, and every random run gives one.
        key = f"{test.__module__}.{test.__qualname__}".encode()
        examples._hypothesis_internal_database_key = key  # type: ignore[attr-defined]

        @functools.wraps(examples)
        def whole() -> None:
            counts.update(ran=0, reached=0)
            examples()
            assert counts["reached"] >= least * counts["ran"], f"too few examples come to the assertion: {counts}"

        whole.__signature__ = inspect.Signature()  # type: ignore[attr-defined]  # the arguments that pytest fills: none
        return whole

    return decorate


def nearly(valid: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """`valid` text as it is, or with something `odd` put in, or with one character less."""

    @st.composite
    def build(draw: st.DrawFn) -> str:
        text = draw(valid)
        at = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["as it is", "as it is", "put in", "left out"])):
            case "put in":
                return text[:at] + draw(odd) + text[at:]
            case "left out":
                return text[:at] + text[at + 1 :]
        return text

    return build()
