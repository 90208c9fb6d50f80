"""Are the settings right, all of them, and what do they say?

Every file is read once, as bytes; what was checked is what is used. The answer is a whole `Configuration` or none,
with every fault found in all files at once.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.settings import across, channels, gateway, tenant
from gateway.settings.built import BUILT, Built
from gateway.settings.document import Document, Unreadable, read
from gateway.settings.faults import Fault, Layer, Level, Report, visible
from gateway.settings.gateway import GatewayFile
from gateway.settings.opening import Opener, salvage
from gateway.settings.secrets import Vault
from gateway.settings.snapshot import Configuration, GatewaySettings
from gateway.settings.surroundings import Surroundings

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """`configuration` is None when there is an error among `faults`. `files` are all that were read, or looked for."""

    configuration: Configuration | None
    faults: tuple[Fault, ...]
    files: tuple[Path, ...]
    fingerprint: str

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that keep the configuration out."""
        return tuple(f for f in self.faults if f.level is Level.ERROR)


def load(file: Path, *, environment: Mapping[str, str] | None = None, built: Built = BUILT) -> Loaded:
    """Read and check `gateway.yaml` at `file` and the tenant files it names; never raises for what they say."""
    folder = file.parent
    vault = Vault(folder, os.environ if environment is None else environment)
    document, fault = _read(file, _shown(file), vault)
    if document is None:
        return _without_gateway_file((fault,) if fault else (), vault)
    report = Report(Layer(document))
    opener = Opener(vault, folder, report)
    section = salvage(GatewayFile, document.data, report)
    if section is None:
        return _without_gateway_file(report.faults, vault)
    settings = gateway.build(section, folder, report, opener)
    everyone = gateway.everyones_tls(section, opener)
    smtp = opener.tls(section.tls.smtp, ("tls", "smtp"), everyone)
    defaults = document.data.get("defaults")
    ways = channels.build(section.channels, report, opener, smtp, built)
    around = Surroundings(
        channels=ways,
        spoilt_channels=channels.spoilt(document.data.get("channels", []), ways),
        defaults=defaults if isinstance(defaults, dict) else {},
        insecure_http=settings.insecure_http,
        prefix=settings.prefix,
        languages=settings.languages,
        built=built,
        keycloak_tls=opener.tls(section.tls.keycloak, ("tls", "keycloak"), everyone),
        upstream_tls=opener.tls(section.tls.upstreams, ("tls", "upstreams"), everyone),
    )
    place = folder / section.tenants
    entries, faults = _tenants(place, document, around, vault, report)
    across.check(entries, around.channels)
    everything = dict.fromkeys([*report.faults, *faults, *(f for e in entries for f in e.report.faults)])
    in_order = sorted(everything, key=lambda f: (f.file != document.file, f.file, f.line))
    return _ended((settings, around, entries), tuple(in_order), vault, (folder, place))


def _tenants(
    place: Path, gateway_file: Document, around: Surroundings, vault: Vault, report: Report
) -> tuple[list[across.Entry], list[Fault]]:
    entries: list[across.Entry] = []
    faults: list[Fault] = []
    try:
        names = _names(place)
    except OSError as error:
        report.error(("tenants",), f"the folder {_shown(place)} cannot be read: {error.strerror}")
        return entries, faults
    if not names:
        report.error(("tenants",), f"the folder {_shown(place)} holds no tenant file (.yaml, .yml, .json)")
    for name in names:
        document, fault = _read(place / name, _shown(place / name), vault)
        if document is None:
            faults.extend([fault] if fault else [])
            continue
        own = Report(Layer(document), Layer(gateway_file, at=("gateway",), inside=("defaults",)))
        built = tenant.build(document, around, own, Opener(vault, vault.folder, own))
        if built is None:
            faults.extend(own.faults)
            continue
        if Path(name).stem != built.id and "tenantId" in document.data:
            own.hint(("tenantId",), f"is {built.id}; name the file {built.id}{Path(name).suffix}, as its tenant")
        entries.append(across.Entry(built, own, _shown(place / name)))
    return entries, faults


def _without_gateway_file(faults: tuple[Fault, ...], vault: Vault) -> Loaded:
    """Nothing can come of it; the faults that the tenant files in the usual folder have by themselves are told too."""
    place = vault.folder / GatewayFile.model_fields["tenants"].default
    with suppress(OSError):
        for name in _names(place):
            document, fault = _read(place / name, _shown(place / name), vault)
            if document is None:
                faults += (fault,) if fault else ()
                continue
            own = Report(Layer(document))
            tenant.check_shape(document, own)
            faults += own.faults
    return _ended(None, faults, vault, (vault.folder,))


def _names(place: Path) -> list[str]:
    """The tenant files in `place`; raises `OSError`."""
    return sorted(n for n in os.listdir(place) if n.endswith(SUFFIXES) and not n.startswith("."))


def _read(path: Path, shown: str, vault: Vault) -> tuple[Document | None, Fault | None]:
    try:
        vault.note(path)
    except OSError as error:
        return None, Fault(shown, 1, "", f"cannot be read: {error.strerror}")
    try:
        return read(vault.read[path], shown), None
    except Unreadable as error:
        return None, Fault(shown, error.line, "", error.text)


def _shown(path: Path) -> str:
    """As short as it is clear: relative to the working directory when below it."""
    try:
        shown = str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        shown = str(path)
    return visible(shown)


def _ended(
    parts: tuple[GatewaySettings, Surroundings, list[across.Entry]] | None,
    faults: tuple[Fault, ...],
    vault: Vault,
    folders: tuple[Path, ...],
) -> Loaded:
    fingerprint = _fingerprint(vault)
    configuration = None
    if parts and not any(f.level is Level.ERROR for f in faults):
        settings, around, entries = parts
        configuration = Configuration(settings, tuple(e.tenant for e in entries), around.channels, fingerprint)
    return Loaded(configuration, faults, (*folders, *vault.read), fingerprint)


def _fingerprint(vault: Vault) -> str:
    digest = hashlib.sha256()
    for path, raw in sorted(vault.read.items()):
        digest.update(os.fsencode(f"{path.name}\0{len(raw)}\0") + raw)
    return digest.hexdigest()[:16]
