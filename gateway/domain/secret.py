"""A string that never prints."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Holds a password, key or token so that `repr`, `str`, logs and tracebacks show only dots.

    Read `value` only where it is sent to the dependency that needs it.
    """

    value: str

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __bool__(self) -> bool:
        return bool(self.value)


def secrets_in(value: object) -> Iterator[str]:
    """Each secret text inside `value`: a dataclass, a mapping, a tuple, or a secret itself."""
    if isinstance(value, Secret):
        yield value.value
    elif isinstance(value, Mapping):
        yield from secrets_in((*value.keys(), *value.values()))
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from secrets_in(item)
    elif is_dataclass(value):
        for one in fields(value):
            yield from secrets_in(getattr(value, one.name))
