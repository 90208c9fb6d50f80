"""Reads and changes the tenant files as an administrator's program does: one tenant at a time, whole or not at all.

A change is planned first: the gateway loads all settings as they will be, and a fault anywhere refuses the change. Then
the new file is staged under another name in the same folder, and takes the place of the old one by one rename. Between
both, callers may ask whether every replica sees the staged file. Everything here blocks: call it in a thread.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.domain.configuration import Configuration
from gateway.settings.load import load, tenant_paths
from gateway.settings.source.diagnostics import Diagnostic
from gateway.settings.source.document_edits import Patch, created, edited
from gateway.settings.source.yaml_source import UnreadableFile, read

DEFAULT_FOLDER = "tenants"
_NEW_MODE = 0o600


class InvalidSettings(Exception):
    """Raised for a change with which the settings would have errors; `file` is the name of the changed file."""

    def __init__(self, file: str, errors: tuple[Diagnostic, ...]) -> None:
        super().__init__(f"{len(errors)} faults")
        self.own = tuple(one for one in errors if Path(one.file).name == file)
        self.elsewhere = tuple(one for one in errors if Path(one.file).name != file)


class NotWritable(Exception):
    """Raised for a file that this process cannot replace."""


class ChangedMeanwhile(Exception):
    """Raised for a file that another program changed since the gateway read it."""


@dataclass(frozen=True)
class TenantFile:
    """One tenant file, as it was read."""

    path: Path
    raw: bytes = field(repr=False)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The tenant object."""
        return read(self.raw, self.path.name).data

    @property
    def etag(self) -> str:
        """Identifies exactly these bytes."""
        return hashlib.sha256(self.raw).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Planned:
    """A valid change: the bytes before and after (None: no file), and the configuration that it makes."""

    path: Path
    before: bytes | None = field(repr=False)
    after: bytes | None = field(repr=False)
    configuration: Configuration = field(repr=False)


@dataclass(frozen=True, slots=True)
class TenantFiles:
    """The tenant files beside `gateway.yaml`. `environment` None: that of the process."""

    file: Path
    environment: Mapping[str, str] | None = None

    @property
    def folder(self) -> Path:
        """The folder of the tenant files, by `gateway.yaml`; the usual one while that file cannot be read."""
        with suppress(OSError, UnreadableFile):
            named = read(self.file.read_bytes(), self.file.name).data.get("tenants")
            if isinstance(named, str) and named:
                return self.file.parent / named
        return self.file.parent / DEFAULT_FOLDER

    def find(self, tenant_id: str) -> TenantFile | None:
        """The file of a tenant, whatever its name is."""
        word = tenant_id.encode()
        for one in sorted(self._files(), key=lambda one: one.path.stem != tenant_id):
            with suppress(UnreadableFile):
                if word in one.raw and one.data.get("tenantId") == tenant_id:
                    return one
        return None

    def create(self, data: Mapping[str, Any]) -> Planned:
        """A new file for the tenant in `data`, which must have its id; raises `InvalidSettings`, or `NotEditable` of
        `source.document_edits`."""
        path = self.folder / f"{data['tenantId']}.yaml"
        return self._planned(path, None, created(data))

    def change(self, found: TenantFile, patch: Patch) -> Planned:
        """The file with the change `patch`; raises `InvalidSettings`, or `NotEditable` of
        `source.document_edits`."""
        return self._planned(found.path, found.raw, edited(found.raw, patch, found.path.name))

    def delete(self, found: TenantFile) -> Planned:
        """The settings without this file; raises `InvalidSettings`."""
        return self._planned(found.path, found.raw, None)

    def _planned(self, path: Path, before: bytes | None, after: bytes | None) -> Planned:
        loaded = load(self.file, environment=self.environment, pending={path: after})
        if loaded.configuration is None:
            raise InvalidSettings(path.name, loaded.errors)
        return Planned(path, before, after, loaded.configuration)

    def _files(self) -> Iterator[TenantFile]:
        for path in tenant_paths(self.folder):
            with suppress(OSError):
                yield TenantFile(path, path.read_bytes())


def stage(planned: Planned) -> Path:
    """Writes the new bytes beside the file, under a name that no loader reads; raises `NotWritable`."""
    path, mode = planned.path, _NEW_MODE
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        if planned.before is not None:
            about = path.lstat()
            if stat.S_ISLNK(about.st_mode):
                raise NotWritable(f"{path.name} is a link: change the file where it comes from")
            if not about.st_mode & 0o222 or not os.access(path, os.W_OK):
                raise NotWritable(f"{path.name} is read-only")
            mode = stat.S_IMODE(about.st_mode)
        with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(planned.after or b"")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        discard(staged)
        raise NotWritable(f"the folder of the tenant files cannot be written: {error.strerror}") from error
    return staged


def commit(planned: Planned, staged: Path) -> None:
    """Puts the staged file into its place; raises `ChangedMeanwhile`, `NotWritable`."""
    path = planned.path
    try:
        now = path.read_bytes() if os.path.lexists(path) else None
        if now != planned.before:
            raise ChangedMeanwhile(path.name)
        if planned.after is None:
            path.unlink()
        else:
            staged.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise NotWritable(f"{path.name} cannot be replaced: {error.strerror}") from error
    finally:
        discard(staged)


def discard(staged: Path) -> None:
    """Removes the staged file, if there is one."""
    with suppress(OSError):
        staged.unlink()
