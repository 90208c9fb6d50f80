"""How does a checked section become a value?

`salvage` gets as much as possible out of a section with mistakes, so that the checks that follow find their faults in
the same pass; `Resolver` opens secrets and certificates and reports what it cannot open.
"""

import copy
import ssl
from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.domain.channel import TlsSettings
from gateway.domain.secret import Secret
from gateway.settings.files.field_types import TlsSection
from gateway.settings.source.diagnostics import Diagnostics, plain_location
from gateway.settings.source.secret_refs import SecretReader, SecretSource, is_well_known
from gateway.settings.source.yaml_source import Path

M = TypeVar("M", bound=BaseModel)
_NOTHING: Mapping[Path, object] = MappingProxyType({})
_ROUNDS = 8
_SYSTEM = TlsSettings()


def salvage(
    model: type[M], data: Mapping[str, Any], report: Diagnostics, stand_ins: Mapping[Path, object] = _NOTHING
) -> M | None:
    """`data` as a `model`. Mistakes are reported; then the check goes on without them, and silent about them.

    A missing value takes its stand-in; None when nothing can be made of the rest.
    """
    rest: dict[str, Any] = copy.deepcopy(dict(data))
    for turn in range(_ROUNDS):
        try:
            return model.model_validate(rest)
        except ValidationError as error:
            if turn == 0:
                report.invalid(error, model)
            for detail in error.errors(include_url=False, include_input=False):
                path = plain_location(detail["loc"])
                if path in stand_ins:
                    report.mute(path)
                    _put(rest, path, copy.deepcopy(stand_ins[path]))
                    continue
                drop = path[:-1] if detail["type"] == "missing" else path
                # Without one item the others would move up and be named wrongly: the list goes as a whole.
                first_item = next((n for n, part in enumerate(drop) if isinstance(part, int)), len(drop))
                if not drop[:first_item]:
                    return None
                report.mute(drop[:first_item])
                _drop(rest, drop[:first_item])
    return None


def _section(data: Any, path: Path) -> dict[str, Any] | None:
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None


def _put(data: dict[str, Any], path: Path, value: object) -> None:
    section = _section(data, path[:-1])
    if section is not None:
        section[str(path[-1])] = value


def _drop(data: dict[str, Any], path: Path) -> None:
    section = _section(data, path[:-1])
    if section is not None:
        section.pop(str(path[-1]), None)


class Resolver:
    """Opens what a section only names: secrets and certificates; failures go to `report`."""

    def __init__(self, secret_reader: SecretReader, folder: FilePath, report: Diagnostics) -> None:
        self._secret_reader = secret_reader
        self._folder = folder
        self._report = report

    def secret(self, source: SecretSource, path: Path) -> Secret:
        """The secret, an empty one when it cannot be had."""
        try:
            secret = self._secret_reader.open(source)
        except ValueError as error:
            self._report.error(path, str(error))
            return Secret("")
        if is_well_known(secret):
            self._report.warning(path, "is the sample secret of EFCX's guide, which everybody knows: change it")
        return secret

    def tls(self, section: TlsSection | None, path: Path, otherwise: TlsSettings = _SYSTEM) -> TlsSettings:
        """The settings with absolute paths, every file there and usable; `otherwise` when there is no section."""
        if section is None:
            return otherwise
        given = section.model_dump(include={"ca_file", "certificate_file", "key_file"}, exclude_none=True)
        settings = TlsSettings(**{name: str(self._folder / file) for name, file in given.items()})
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
