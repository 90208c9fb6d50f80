"""Loads and checks all settings files.

The gateway reads every file once, as bytes, so it uses exactly what it checked. The result is a whole `Configuration`
or none, with the faults of all files from one run.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.configuration import Configuration
from gateway.settings.checks import tenant_conflicts
from gateway.settings.features import FEATURES, Features
from gateway.settings.files import gateway_file, tenant_file
from gateway.settings.files.gateway_file import GatewayFile, SharedSettings
from gateway.settings.source.diagnostics import Diagnostic, Diagnostics, Layer, Level, visible
from gateway.settings.source.secret_refs import SecretReader
from gateway.settings.source.section_values import Resolver, salvage
from gateway.settings.source.yaml_source import Document, UnreadableFile, read

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """`configuration` is None when `diagnostics` has an error. `files` are all that the gateway read or looked for."""

    configuration: Configuration | None
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[Path, ...]
    fingerprint: str

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The faults because of which there is no configuration."""
        return tuple(f for f in self.diagnostics if f.level is Level.ERROR)


def load(file: Path, *, environment: Mapping[str, str] | None = None, features: Features = FEATURES) -> Loaded:
    """Loads `gateway.yaml` at `file` and the tenant files that it names; never raises for their content."""
    folder = file.parent
    secret_reader = SecretReader(folder, os.environ if environment is None else environment)
    document = _read(file, secret_reader)
    if isinstance(document, Diagnostic):
        return _without_gateway_file((document,), secret_reader)
    report = Diagnostics(Layer(document))
    opener = Resolver(secret_reader, report)
    section = salvage(gateway_file.FILE, document.data, report)
    if section is None:
        return _without_gateway_file(report.diagnostics, secret_reader)
    shared = gateway_file.build(section, document, report, opener, features)
    place = folder / section.tenants
    entries, diagnostics = _tenants(place, document, shared, secret_reader, report)
    tenant_conflicts.check(entries, shared.channels)
    everything = dict.fromkeys([*report.diagnostics, *diagnostics, *(f for e in entries for f in e.report.diagnostics)])
    in_order = sorted(everything, key=lambda f: (f.file != document.file, f.file, f.line))
    return _ended((shared, entries), tuple(in_order), secret_reader, (folder, place))


def _tenants(
    place: Path, gateway_file: Document, shared: SharedSettings, secret_reader: SecretReader, report: Diagnostics
) -> tuple[list[tenant_conflicts.TenantEntry], list[Diagnostic]]:
    entries: list[tenant_conflicts.TenantEntry] = []
    diagnostics: list[Diagnostic] = []
    try:
        names = _names(place)
    except OSError as error:
        report.error(("tenants",), f"the folder {_shown(place)} cannot be read: {error.strerror}")
        return entries, diagnostics
    if not names:
        report.error(("tenants",), f"the folder {_shown(place)} holds no tenant file (.yaml, .yml, .json)")
    for name in names:
        document = _read(place / name, secret_reader)
        if isinstance(document, Diagnostic):
            diagnostics.append(document)
            continue
        own = Diagnostics(Layer(document), Layer(gateway_file, at=("gateway",), inside=("defaults",)))
        tenant = tenant_file.build(document, shared, own, Resolver(secret_reader, own))
        if tenant is None:
            diagnostics.extend(own.diagnostics)
            continue
        if Path(name).stem != tenant.id and "tenantId" in document.data:
            own.hint(("tenantId",), f"is {tenant.id}; name the file {tenant.id}{Path(name).suffix}, as its tenant")
        entries.append(tenant_conflicts.TenantEntry(tenant, own, _shown(place / name)))
    return entries, diagnostics


def _without_gateway_file(diagnostics: tuple[Diagnostic, ...], secret_reader: SecretReader) -> Loaded:
    """Adds the faults that the tenant files in the usual folder have by themselves; there is no configuration."""
    place = secret_reader.folder / GatewayFile().tenants
    with suppress(OSError):
        for name in _names(place):
            document = _read(place / name, secret_reader)
            if isinstance(document, Diagnostic):
                diagnostics += (document,)
                continue
            own = Diagnostics(Layer(document))
            tenant_file.check_shape(document, own)
            diagnostics += own.diagnostics
    return _ended(None, diagnostics, secret_reader, (secret_reader.folder,))


def _names(place: Path) -> list[str]:
    """The tenant files in `place`; raises `OSError`."""
    return sorted(n for n in os.listdir(place) if n.endswith(SUFFIXES) and not n.startswith("."))


def _read(path: Path, secret_reader: SecretReader) -> Document | Diagnostic:
    try:
        secret_reader.note(path)
        return read(secret_reader.read[path], _shown(path))
    except OSError as error:
        return Diagnostic(_shown(path), 1, "", f"cannot be read: {error.strerror}")
    except UnreadableFile as error:
        return Diagnostic(_shown(path), error.line, "", error.text)


def _shown(path: Path) -> str:
    """The path to show: relative to the working directory when below it."""
    try:
        shown = str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        shown = str(path)
    return visible(shown)


def _ended(
    parts: tuple[SharedSettings, list[tenant_conflicts.TenantEntry]] | None,
    diagnostics: tuple[Diagnostic, ...],
    secret_reader: SecretReader,
    folders: tuple[Path, ...],
) -> Loaded:
    fingerprint = _fingerprint(secret_reader)
    configuration = None
    if parts and not any(f.level is Level.ERROR for f in diagnostics):
        shared, entries = parts
        configuration = Configuration(shared.gateway, tuple(e.tenant for e in entries), shared.channels, fingerprint)
    return Loaded(configuration, diagnostics, (*folders, *secret_reader.read), fingerprint)


def _fingerprint(secret_reader: SecretReader) -> str:
    digest = hashlib.sha256()
    for path, raw in sorted(secret_reader.read.items()):
        digest.update(os.fsencode(f"{path.name}\0{len(raw)}\0") + raw)
    return digest.hexdigest()[:16]
