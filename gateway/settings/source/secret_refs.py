"""Secrets by value or by reference, and certificates.

A file has a secret as a value, or as `{env: NAME}` or `{file: path}`; either becomes a `Secret`, which never prints. A
file may end in one newline, as editors and Kubernetes write them. A missing, empty or unreadable secret is a fault that
names the place, never the content.
"""

import hashlib
import os
import re
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.domain.channel import TlsSettings
from gateway.domain.secret import Secret
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.validation import Section
from gateway.settings.source.yaml_source import Path

_LARGEST = 64 * 1024
_LARGEST_FILE = 1024 * 1024 + 1  # one more than a settings file may have
# SHA-256 of the sample client secret of EFCX's guide and chart, which real installations use.
_WELL_KNOWN = frozenset({"dda0b4a65d3d2952398ae118821dea8e5d0eaf8801210f1d47cf955a781abb8b"})
_PLACEHOLDER = re.compile("(?i)(replace|change)[-_ ]?(me|it|this)!*|<.{1,60}>|[$]?[{]{1,2}.{1,60}[}]{1,2}|x{3,}|todo")
_SYSTEM = TlsSettings()


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
        form = "must be text, {env: NAME} or {file: path}"
        is_place = isinstance(given, Mapping) and len(given) == 1 and set(given) <= {"value", "env", "file"}
        if isinstance(next(iter(given.values())) if is_place else given, int | float):
            raise ValueError(f"{form} (a number needs quotes)")
        if not is_place or not isinstance(next(iter(given.values())), str):
            raise ValueError(form)
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        section = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string"}, {**section, "minProperties": 1, "maxProperties": 1}]}


class CredentialsSection(Section):
    """Id and secret by which the gateway proves to a service that a request is its own."""

    authentication_id: str
    """Id of the app at the service, as the key of an app in Sinch's dashboard."""

    secret: SecretSource
    """Secret of that app."""


Pending = Mapping[FilePath, bytes | None]
"""Files as they will be after a change that is not written yet; None: the file will not exist."""
NOTHING_PENDING: Pending = MappingProxyType({})


FileState = tuple[int, int, int]
"""What changes with a file: its date, size and place on the disk; those of a folder change with its list of names."""


def state_of(path: FilePath) -> FileState:
    """The state of `path` now; zeros if it does not exist."""
    try:
        return _state(path.stat())
    except OSError:
        return 0, 0, 0


def _state(about: os.stat_result) -> FileState:
    return about.st_mtime_ns, about.st_size, about.st_ino


class FileReader:
    """Reads everything that the settings are made of, and remembers it. `pending` files are read from there."""

    def __init__(self, folder: FilePath, environment: Mapping[str, str], pending: Pending = NOTHING_PENDING) -> None:
        self.folder = folder
        self.environment = environment
        self.pending = pending
        self.read: dict[FilePath, bytes] = {}
        self._states: dict[FilePath, FileState] = {}
        self.open_to_all: set[FilePath] = set()
        """Those that every user of the host may read, except on a read-only mount: an orchestrator guards that."""

    def note(self, path: FilePath) -> bytes:
        """Reads a file; raises `OSError` when it cannot be read."""
        self.read.setdefault(path, b"")
        if (coming := self.pending.get(path)) is not None:
            self.read[path] = coming
            return coming
        with path.open("rb") as opened:
            self.read[path] = opened.read(_LARGEST_FILE)
            read_only = os.fstatvfs(opened.fileno()).f_flag & os.ST_RDONLY
            about = os.fstat(opened.fileno())
            self._states.setdefault(path, _state(about))
            if about.st_mode & stat.S_IROTH and not read_only:
                self.open_to_all.add(path)
        return self.read[path]

    def note_folder(self, path: FilePath) -> None:
        """Remembers the state of a folder whose names are about to be read; raises `OSError`."""
        self._states.setdefault(path, _state(path.stat()))

    @property
    def settled(self) -> bool:
        """Whether all that was read is still as it was: then it was there together, at one moment."""
        return all(state_of(path) == state for path, state in self._states.items())

    @property
    def fingerprint(self) -> str:
        """Identifies exactly the bytes of all files."""
        digest = hashlib.sha256()
        for path, raw in sorted(self.read.items()):
            digest.update(os.fsencode(f"{path.name}\0{len(raw)}\0") + raw)
        return digest.hexdigest()[:16]


class Resolver:
    """Opens the secrets and certificates that a section names; reports failures.

    `named` are the entries of `secrets:` in `gateway.yaml`.
    """

    def __init__(self, reader: FileReader, report: Diagnostics) -> None:
        self._reader = reader
        self.named: dict[str, CredentialsSection] = {}
        self.folder = reader.folder
        self._report = report

    def secret(self, source: SecretSource, path: Path) -> Secret:
        """Reads the secret; an empty one when that fails."""
        try:
            text = self._text(source)
        except ValueError as error:
            self._report.error(path, str(error))
            return Secret("")
        if hashlib.sha256(text.encode()).hexdigest() in _WELL_KNOWN:
            self._report.warning(path, "is the sample secret of EFCX's guide, which everybody knows: change it")
        elif _PLACEHOLDER.fullmatch(text):
            self._report.warning(path, f"{text!r} is a placeholder; write the secret, {{env: NAME}} or {{file: path}}")
        elif "://" not in text or "@" in text:  # a URL without a password is no secret
            self._check_mode(source, path)
        return Secret(text)

    def _check_mode(self, source: SecretSource, path: Path) -> None:
        if source.file is not None and self.folder / source.file in self._reader.open_to_all:
            self._report.warning(path, f"every user of this host may read the file {source.file}; run chmod 640 on it")
        elif source.value and self._report.is_open_to_all(path):
            where = "is in a file that every user of this host may read"
            self._report.warning(path, f"{where}; run chmod 640 on it, or write {{env: NAME}} or {{file: path}}")

    def _text(self, source: SecretSource) -> str:
        if source.value is not None:
            return source.value
        if source.env is not None:
            text = self._reader.environment.get(source.env)
            if not text:
                raise ValueError(f"the environment variable {source.env} is not set for this process")
            return text
        name = source.file or ""
        try:
            raw = self._reader.note(self.folder / name)
            text = raw.decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ValueError(f"the file {self.folder / name} cannot be read: {why}") from error
        if not text or len(raw) > _LARGEST:
            raise ValueError(f"the file {name} is {'too big' if text else 'empty'}")
        return text

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
                self._report.error(
                    (*path, "ca_file"), "holds no certificates to trust: it needs PEM (-----BEGIN CERTIFICATE-----)"
                )
        if settings.certificate_file:
            self._check_pair(settings.certificate_file, settings.key_file, path)
        elif settings.key_file:
            self._report.error((*path, "certificate_file"), "is missing: key_file needs its certificate")
        return settings

    def _check_pair(self, certificate: str, key: str | None, path: Path) -> None:
        readable = [self._readable(certificate, (*path, "certificate_file"))]
        if key:
            readable.append(self._readable(key, (*path, "key_file")))
        if not all(readable):
            return
        if FilePath(key or certificate) in self._reader.open_to_all:
            name = "key_file" if key else "certificate_file"
            self._report.warning((*path, name), "every user of this host may read the private key; run chmod 640 on it")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError):
            self._report.error(
                (*path, "certificate_file"),
                "and its key do not make a pair: both must be PEM, belong together, and the key must have no password",
            )

    def _readable(self, file: str, path: Path) -> bool:
        try:
            self._reader.note(FilePath(file))
        except OSError as error:
            self._report.error(path, f"the file cannot be read: {error.strerror}")
            return False
        return True
