"""A string that never prints."""

from dataclasses import dataclass


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
