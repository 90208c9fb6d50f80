"""Makes values of the sections of a settings file.

`salvage` gets as much as possible out of a section with faults, so that one run reports all faults. `Resolver` opens
secrets and certificates and reports those that it cannot open.
"""

import copy
import json
import ssl
from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gateway.domain.channel import TlsSettings
from gateway.domain.secret import Secret
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.secret_refs import SecretReader, SecretSource, is_well_known
from gateway.settings.source.yaml_source import Path

T = TypeVar("T")
_NOTHING: Mapping[Path, object] = MappingProxyType({})
_ROUNDS = 8
_SYSTEM = TlsSettings()


def salvage(
    file: TypeAdapter[T], data: Mapping[str, Any], report: Diagnostics, stand_ins: Mapping[Path, object] = _NOTHING
) -> T | None:
    """Makes the value of a `file` with this `data`; reports the faults, and continues without the values at fault.

    Later checks are silent on these values. A missing value is replaced by its stand-in. The result is None when the
    rest makes no value.
    """
    rest: dict[str, Any] = copy.deepcopy(dict(data))
    for turn in range(_ROUNDS):
        try:
            return file.validate_json(json.dumps(rest))
        except ValidationError as error:
            if turn == 0:
                report.invalid(error, file.json_schema())
            for detail in error.errors(include_url=False, include_input=False):
                path = detail["loc"]
                if path in stand_ins:
                    report.mute(path)
                    _section(rest, path[:-1])[path[-1]] = copy.deepcopy(stand_ins[path])
                    continue
                drop = path[:-1] if detail["type"] == "missing" else path
                # Without one item the others would move up and get wrong names: the gateway drops the whole list.
                first_item = next((n for n, part in enumerate(drop) if isinstance(part, int)), len(drop))
                if not drop[:first_item]:
                    return None
                report.mute(drop[:first_item])
                _section(rest, drop[: first_item - 1]).pop(drop[first_item - 1], None)
    return None


def _section(data: Any, path: Path) -> dict[str | int, Any]:
    """The section at `path`; an empty one where there is none any more."""
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


class Resolver:
    """Opens the secrets and certificates that a section names; reports failures."""

    def __init__(self, secret_reader: SecretReader, report: Diagnostics) -> None:
        self._secret_reader = secret_reader
        self.folder = secret_reader.folder
        self._report = report

    def secret(self, source: SecretSource, path: Path) -> Secret:
        """Reads the secret; an empty one when that fails."""
        try:
            secret = self._secret_reader.open(source)
        except ValueError as error:
            self._report.error(path, str(error))
            return Secret("")
        if is_well_known(secret):
            self._report.warning(path, "is the sample secret of EFCX's guide, which everybody knows: change it")
        return secret

    def tls(self, section: TlsSettings | None, path: Path, otherwise: TlsSettings = _SYSTEM) -> TlsSettings:
        """Makes the paths absolute and checks every file. The result is `otherwise` when there is no section."""
        if section is None:
            return otherwise
        names = (section.ca_file, section.certificate_file, section.key_file)
        settings = TlsSettings(*(name if name is None else str(self.folder / name) for name in names))
        if settings.ca_file and self._readable(settings.ca_file, (*path, "ca_file")):
            try:
                ssl.create_default_context(cafile=settings.ca_file)
            except (ssl.SSLError, OSError, ValueError):
                self._report.error((*path, "ca_file"), "holds no certificates (PEM) to trust")
        if settings.key_file and not settings.certificate_file:
            self._report.error((*path, "certificate_file"), "is missing: key_file needs its certificate")
        elif settings.certificate_file:
            self._check_pair(settings, path)
        return settings

    def _check_pair(self, settings: TlsSettings, path: Path) -> None:
        there = self._readable(settings.certificate_file or "", (*path, "certificate_file"))
        if settings.key_file:
            there = self._readable(settings.key_file, (*path, "key_file")) and there
        if not there:
            return
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(settings.certificate_file or "", settings.key_file, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError):
            self._report.error(
                (*path, "certificate_file"),
                "and its key do not make a pair: both must be PEM, belong together, and the key must have no password",
            )

    def _readable(self, file: str, path: Path) -> bool:
        try:
            self._secret_reader.note(FilePath(file))
        except OSError as error:
            self._report.error(path, f"the file cannot be read: {error.strerror}")
            return False
        return True
