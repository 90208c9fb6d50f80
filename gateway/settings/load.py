"""Loads and checks all settings files.

The gateway reads every file once, as bytes, so it uses exactly what it checked. The result is a whole `Configuration`
or none, with the faults of all files from one run.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.domain.channel import Channel
from gateway.domain.configuration import Configuration, GatewaySettings
from gateway.domain.texts import visible
from gateway.settings.checks import exposure, named_paths, otp_manager, policy_consistency, tenant_conflicts
from gateway.settings.features import FEATURES, Features
from gateway.settings.files import gateway_file, tenant_file
from gateway.settings.files.gateway_file import GatewayFile, SharedSettings
from gateway.settings.source.diagnostics import Diagnostic, Diagnostics, Layer, Level
from gateway.settings.source.secret_refs import NOTHING_PENDING, FileReader, Pending, Resolver
from gateway.settings.source.validation import salvage
from gateway.settings.source.yaml_source import Document, UnreadableFile, read

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """`configuration` is None when `diagnostics` has an error. `files` are all that the gateway read or looked for.

    `channels` and `gateway` are there without a valid tenant too; they are None when `gateway.yaml` itself has an
    error. Without `settled` the files changed while they were read, and may not belong together.
    """

    configuration: Configuration | None
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[Path, ...]
    fingerprint: str
    channels: Mapping[str, Channel] | None = None
    settled: bool = True
    gateway: GatewaySettings | None = None

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The faults because of which there is no configuration."""
        return tuple(f for f in self.diagnostics if f.level is Level.ERROR)


def load(
    file: Path,
    *,
    environment: Mapping[str, str] | None = None,
    features: Features = FEATURES,
    pending: Pending = NOTHING_PENDING,
) -> Loaded:
    """Loads `gateway.yaml` at `file` and the tenant files that it names; never raises for their content.

    `pending` are tenant files that are not written yet: the result is that of the files after the change.
    """
    folder = file.parent
    reader = FileReader(folder, os.environ if environment is None else environment, pending)
    document = _read(file, reader)
    if isinstance(document, Diagnostic):
        return _without_gateway_file((document,), reader)
    report = Diagnostics(Layer(document))
    resolver = Resolver(reader, report)
    section = salvage(gateway_file.FILE, document.data, report)
    if section is None:
        return _without_gateway_file(report.diagnostics, reader)
    shared = gateway_file.build(section, document, report, resolver, features)
    usable = not any(f.level is Level.ERROR for f in report.diagnostics)
    channels, gateway = (shared.channels, shared.gateway) if usable else (None, None)
    place = folder / section.tenants
    entries, diagnostics = _tenants(place, document, shared, reader, report)
    tenant_conflicts.check(entries, shared.channels)
    otp_manager.check(shared.gateway, entries, shared.channels)
    exposure.check(shared.gateway, entries, report, reader.environment)
    named_paths.check(shared.gateway, entries)
    policy_consistency.check(shared.gateway.limits, entries, report)
    everything = dict.fromkeys([*report.diagnostics, *diagnostics, *(f for e in entries for f in e.report.diagnostics)])
    in_order = sorted(everything, key=lambda f: (f.file != document.file, f.file, f.line))
    configuration = None
    if not any(f.level is Level.ERROR for f in in_order):
        tenants = tuple(entry.tenant for entry in entries)
        configuration = Configuration(shared.gateway, tenants, shared.channels, reader.fingerprint)
    files = (folder, place, *reader.read)
    return Loaded(configuration, tuple(in_order), files, reader.fingerprint, channels, reader.settled, gateway)


def _tenants(
    place: Path, gateway_file: Document, shared: SharedSettings, reader: FileReader, report: Diagnostics
) -> tuple[list[tenant_conflicts.TenantEntry], list[Diagnostic]]:
    entries: list[tenant_conflicts.TenantEntry] = []
    diagnostics: list[Diagnostic] = []
    try:
        documents = _tenant_documents(place, reader)
    except OSError as error:
        report.error(("tenants",), f"the folder {_shown(place)} of the tenant files cannot be read: {error.strerror}")
        return entries, diagnostics
    if not documents:
        report.error(("tenants",), f"the folder {_shown(place)} holds no tenant file (.yaml, .yml, .json)")
    for document in documents:
        if isinstance(document, Diagnostic):
            diagnostics.append(document)
            continue
        own = Diagnostics(Layer(document), Layer(gateway_file, at=("gateway",), inside=("defaults",)))
        tenant = tenant_file.build(document, shared, own, Resolver(reader, own))
        if tenant is None:
            diagnostics.extend(own.diagnostics)
            continue
        name = Path(document.file)
        if name.stem != tenant.id and "tenantId" in document.data:
            own.hint(("tenantId",), f"is {tenant.id}; name the file {tenant.id}{name.suffix}, as its tenant")
        entries.append(tenant_conflicts.TenantEntry(tenant, own, document.file))
    return entries, diagnostics


def _without_gateway_file(diagnostics: tuple[Diagnostic, ...], reader: FileReader) -> Loaded:
    """Adds the faults that the tenant files in the usual folder have by themselves; there is no configuration."""
    with suppress(OSError):
        for document in _tenant_documents(reader.folder / GatewayFile().tenants, reader):
            if isinstance(document, Diagnostic):
                diagnostics += (document,)
                continue
            own = Diagnostics(Layer(document))
            tenant_file.check_shape(document, own)
            diagnostics += own.diagnostics
    files = (reader.folder, *reader.read)
    return Loaded(None, diagnostics, files, reader.fingerprint, settled=reader.settled)


def _tenant_documents(place: Path, reader: FileReader) -> list[Document | Diagnostic]:
    """The tenant files in `place`; raises `OSError`."""
    reader.note_folder(place)
    paths = {*tenant_paths(place), *reader.pending} - {path for path, raw in reader.pending.items() if raw is None}
    return [_read(path, reader) for path in sorted(paths)]


def tenant_paths(place: Path) -> list[Path]:
    """The paths of the tenant files in the folder `place`, in order; raises `OSError`."""
    return sorted(place / n for n in os.listdir(place) if n.endswith(SUFFIXES) and not n.startswith("."))


def _read(path: Path, reader: FileReader) -> Document | Diagnostic:
    try:
        return replace(read(reader.note(path), _shown(path)), open_to_all=path in reader.open_to_all)
    except OSError as error:
        return Diagnostic(_shown(path), 1, "", f"cannot be read: {error.strerror}")
    except UnreadableFile as error:
        return Diagnostic(_shown(path), error.line, "", error.text)


def _shown(path: Path) -> str:
    """The path to show: relative to the working directory when below it."""
    try:
        return visible(str(path.absolute().relative_to(Path.cwd())))
    except (ValueError, OSError):
        return visible(str(path))
