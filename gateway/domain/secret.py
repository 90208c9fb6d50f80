"""A string that never prints."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Holds a password, key or token so that `repr`, `str`, logs and tracebacks show only dots."""

    _value: str

    def reveal(self) -> str:
        """The value itself; call it only where it is sent to the dependency that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __bool__(self) -> bool:
        return bool(self._value)
