"""Secrets by value or by reference.

A file has a secret as a value, or as `{env: NAME}` or `{file: path}`; either becomes a `Secret`, which never prints. A
file may end in one newline, as editors and Kubernetes write them. A missing, empty or unreadable secret is a fault that
names the place, never the content.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.domain.secret import Secret
from gateway.settings.files.field_types import Section

_LARGEST = 64 * 1024
_LARGEST_FILE = 1024 * 1024 + 1  # one more than a settings file may have
# SHA-256 of the sample client secret of EFCX's guide and chart, which real installations use.
_WELL_KNOWN = frozenset({"dda0b4a65d3d2952398ae118821dea8e5d0eaf8801210f1d47cf955a781abb8b"})


class SecretSource(Section):
    """A secret: text, or one of `{env: NAME}`, `{file: path}`, `{value: text}`."""

    value: str | None = None
    """Secret itself."""

    env: str | None = None
    """Name of the environment variable with the secret."""

    file: str | None = None
    """File with the secret, relative to the folder of `gateway.yaml`."""

    @model_validator(mode="before")
    @classmethod
    def _one_way(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"value": given}
        if not isinstance(given, Mapping) or len(given) != 1 or not set(given) <= {"value", "env", "file"}:
            raise ValueError("must be text, {env: NAME} or {file: path}")
        if not isinstance(next(iter(given.values())), str):
            raise ValueError("must be text, {env: NAME} or {file: path} (a number needs quotes)")
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        section = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string"}, {**section, "minProperties": 1, "maxProperties": 1}]}


class SecretReader:
    """Reads secrets from the environment and from files, and remembers the files."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self.read: dict[Path, bytes] = {}

    def note(self, path: Path) -> None:
        """Remembers a file that other code uses; raises `OSError` when it cannot be read."""
        self.read.setdefault(path, b"")
        with path.open("rb") as opened:
            self.read[path] = opened.read(_LARGEST_FILE)

    def open(self, source: SecretSource) -> Secret:
        """Reads the secret; raises `ValueError` with what is wrong."""
        if source.value is not None:
            return Secret(source.value)
        if source.env is not None:
            value = self._environment.get(source.env)
            if not value:
                raise ValueError(f"the environment variable {source.env} is not set")
            return Secret(value)
        return Secret(self._from_file(source.file or ""))

    def _from_file(self, name: str) -> str:
        path = self.folder / name
        try:
            self.note(path)
            raw = self.read[path]
            text = raw.decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ValueError(f"the file {name} cannot be read: {why}") from error
        if not text or len(raw) > _LARGEST:
            raise ValueError(f"the file {name} is {'too big' if text else 'empty'}")
        return text


def is_well_known(secret: Secret) -> bool:
    """Whether this is the public sample secret."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest() in _WELL_KNOWN
