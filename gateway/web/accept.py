"""Reads header fields with weights (RFC 9110 12.4.2), as `Accept` and `Accept-Encoding`. Pure."""

from collections.abc import Iterable

_MAX = 2_000
"""Characters that count."""


def weights(values: Iterable[str]) -> dict[str, float]:
    """The weight of each name, in lower case; a weight that is no number counts as 0."""
    found: dict[str, float] = {}
    for item in ",".join(values)[:_MAX].lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        found[name] = max(found.get(name, 0.0), _weight(parameters))
    return found


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
