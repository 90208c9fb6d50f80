"""The acts of administration on tenants: list, read, create, change, delete.

A change is in force when its act returns: the files are written, and this replica uses them. Other replicas follow
within a second, by the watch of their folders. A weaker policy is audited with its difference when it comes into force.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.admin import tenant_objects
from gateway.admin.callers import Caller
from gateway.admin.denials import Denial, Fault, Reason
from gateway.domain import errors
from gateway.domain.configuration import Configuration
from gateway.domain.ports import Lock
from gateway.observe.audit import AuditEvent, RequestAudit
from gateway.settings.checks.weakenings import weakenings
from gateway.settings.live import Live
from gateway.settings.replica_folders import FoldersDiffer, ReplicaFolders
from gateway.settings.source.document_edits import NotEditable
from gateway.settings.tenant_files import (
    ChangedMeanwhile,
    InvalidSettings,
    NotWritable,
    Planned,
    TenantFile,
    TenantFiles,
    commit,
    discard,
    stage,
)

WAIT, TTL = 10.0, 30.0
"""Seconds that a change waits for another one, and after which it gives way."""


@dataclass(frozen=True, slots=True)
class TenantObject:
    """A tenant object as its caller may see it, and the tag of the bytes of its file."""

    data: Mapping[str, Any]
    etag: str


@dataclass(frozen=True, slots=True)
class SettingsFiles:
    """The settings files of a process that serves: the files, the configuration in force, and the other replicas."""

    files: TenantFiles
    live: Live
    replicas: ReplicaFolders


@dataclass(frozen=True, slots=True)
class Tenants:
    """Acts on the tenants of this gateway. `settings` None: this process has no settings files, as the demo."""

    configuration: Callable[[], Configuration]
    lock: Lock
    settings: SettingsFiles | None

    async def read(self, tenant_id: str, caller: Caller) -> TenantObject | Denial:
        """The tenant object in the file, which may be newer than the one in force."""
        if self.settings is None:
            return _no_files()
        found = await asyncio.to_thread(self.settings.files.find, tenant_id)
        return _object(found, caller) if found else Denial(Reason.NOT_FOUND, f"There is no tenant {tenant_id}.")

    async def create(self, data: Mapping[str, Any], caller: Caller, audit: RequestAudit) -> TenantObject | Denial:
        """A new tenant with its own file."""
        tenant_id, files = data.get("tenantId"), self._files
        if not isinstance(tenant_id, str):
            return Denial(Reason.INVALID, faults=(Fault("tenantId", "must be text"),))

        def plan() -> Planned | Denial:
            if files().find(tenant_id):
                return Denial(Reason.EXISTS, f"There is a tenant {tenant_id} already.")
            return tenant_objects.masks_in(data) or files().create(data)

        return await self._carry_out(plan, AuditEvent.TENANT_CREATED, tenant_id, caller, audit)

    async def change(
        self, tenant_id: str, patch: Mapping[str, Any], caller: Caller, audit: RequestAudit, etag: str | None = None
    ) -> TenantObject | Denial:
        """Changes the keys in `patch`, and no other; null removes a key. `etag`: only if the file is still that one."""
        files = self._files

        def plan() -> Planned | Denial:
            denied = tenant_objects.forbidden(patch, caller) or tenant_objects.masks_in(patch)
            if denied:
                return denied
            found = files().find(tenant_id)
            if isinstance(found, TenantFile) and patch.get("tenantId", tenant_id) != tenant_id:
                return Denial(Reason.INVALID, faults=(Fault("tenantId", "cannot be changed"),))
            return _unless_changed(found, tenant_id, etag) or files().change(_there(found), patch)

        return await self._carry_out(plan, AuditEvent.TENANT_CHANGED, tenant_id, caller, audit)

    async def delete(
        self, tenant_id: str, caller: Caller, audit: RequestAudit, etag: str | None = None
    ) -> TenantObject | Denial:
        """Removes the file of the tenant; returns the object that it had."""
        files = self._files

        def plan() -> Planned | Denial:
            found = files().find(tenant_id)
            return _unless_changed(found, tenant_id, etag) or files().delete(_there(found))

        return await self._carry_out(plan, AuditEvent.TENANT_DELETED, tenant_id, caller, audit)

    def _files(self) -> TenantFiles:
        if self.settings is None:  # `_carry_out` has denied it
            raise errors.Misconfigured("settings", "this process has no files")
        return self.settings.files

    async def _carry_out(
        self,
        plan: Callable[[], Planned | Denial],
        event: AuditEvent,
        tenant_id: str,
        caller: Caller,
        audit: RequestAudit,
    ) -> TenantObject | Denial:
        if self.settings is None:
            return _no_files()
        async with self.lock.hold("tenant-files", wait=WAIT, ttl=TTL):
            try:
                planned = await asyncio.to_thread(plan)
                if isinstance(planned, Denial):
                    return planned
                old = self.configuration()
                if not caller.is_operator and (denied := _beyond_limits(old, planned.configuration, tenant_id)):
                    return denied
                await self._write(planned, self.settings)
            except InvalidSettings as invalid:
                return _invalid(invalid, caller)
            except NotEditable:
                return Denial(Reason.INVALID, "The file cannot hold these values with its comments; edit it by hand.")
            except NotWritable as error:
                return Denial(Reason.READ_ONLY, f"{error}.")
            except FoldersDiffer as error:
                return Denial(Reason.FOLDERS_DIFFER, f"{error}.")
            except ChangedMeanwhile:
                return Denial(Reason.CONFLICT, "Another program changed the file at the same time; read it again.")
            before, after = (TenantFile(planned.path, raw) if raw else None for raw in (planned.before, planned.after))
            weaker = [one for one in weakenings(old, planned.configuration) if one.startswith(f"{tenant_id}: ")]
            audit.write(
                event,
                by=caller.name,
                changes=tenant_objects.changes(before.data, after.data) if before and after else None,
                weaker=weaker or None,
            )
            await self.settings.live.look()
        return _object(_there(after or before), caller)

    async def _write(self, planned: Planned, settings: SettingsFiles) -> None:
        staged = await asyncio.to_thread(stage, planned)
        try:
            await settings.replicas.compare(staged.name)
            await asyncio.to_thread(commit, planned, staged)
        finally:
            await asyncio.to_thread(discard, staged)


def _no_files() -> Denial:
    return Denial(Reason.READ_ONLY, "This gateway has no tenant files.")


def _object(found: TenantFile, caller: Caller) -> TenantObject:
    return TenantObject(tenant_objects.shown(found.data, caller), found.etag)


def _there(found: TenantFile | None) -> TenantFile:
    if found is None:
        raise ValueError("the caller has looked for the file")
    return found


def _unless_changed(found: TenantFile | None, tenant_id: str, etag: str | None) -> Denial | None:
    if found is None:
        return Denial(Reason.NOT_FOUND, f"There is no tenant {tenant_id}.")
    if etag is not None and etag != found.etag:
        return Denial(Reason.CHANGED, "Read the tenant again: its file is another one than the one in If-Match.")
    return None


def _beyond_limits(old: Configuration, new: Configuration, tenant_id: str) -> Denial | None:
    before, after = old.tenant(tenant_id), new.tenant(tenant_id)
    if before is None or after is None:  # an administrator's tenant is in force
        return Denial(Reason.CONFLICT, "The tenant was changed at the same time; try again.")
    return tenant_objects.beyond_limits(before, after)


def _invalid(invalid: InvalidSettings, caller: Caller) -> Denial:
    faults = [Fault(one.path, one.text) for one in invalid.own]
    if caller.is_operator:
        faults += [Fault(f"{one.file}:{one.line}: {one.path}", one.text) for one in invalid.elsewhere]
    elif invalid.elsewhere:
        faults.append(Fault("", f"{len(invalid.elsewhere)} faults in other settings; tell the operator"))
    return Denial(Reason.INVALID, "With this change the settings have errors, so nothing was changed.", tuple(faults))
