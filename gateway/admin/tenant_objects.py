"""What a caller sees of a tenant object, and which of its keys they may change. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.admin.callers import Caller
from gateway.admin.denials import Denial, Fault, Reason
from gateway.domain.policy import EnrolmentRule, Policy
from gateway.domain.tenant import Tenant
from gateway.settings.files.two_factor import FIELDS
from gateway.settings.source.diagnostics import written
from gateway.settings.source.document_edits import merged
from gateway.settings.source.yaml_source import Path

MASK = "********"
TWO_FACTOR: Path = ("tenantSettings", "twoFAConfigs")
_OF_ADMINISTRATORS: tuple[Path, ...] = (
    ("tenantId",),
    ("tenantName",),
    ("status",),
    ("tenantSettings", "fqdn"),
    TWO_FACTOR,
)
"""What a tenant's administrator sees."""
_SECRET = re.compile("(?i)secret|pass|token|credential|private|client_?key|_sid$|^pin$|api_?key")
"""Keys of EFCX's object with a secret as text; the vendor's further keys too, so rather one too many."""
_OWN_SECRETS = frozenset({"client_secret", "value"})
"""Keys of the gateway's own section with a secret as text."""
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/?#\s]*@")


def shown(data: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """The tenant object without secrets; for a tenant's administrator, what concerns them."""
    masked: dict[str, Any] = _masked(data, own=False)
    if caller.is_operator:
        return masked
    found: dict[str, Any] = {}
    for path in _OF_ADMINISTRATORS:
        value: Any = masked
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            for key in reversed(path):
                value = {key: value}
            found = merged(found, value)
    return found


def _masked(value: Any, *, own: bool, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _masked(inner, own=own or name == "gateway", key=name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, own=own, key=key) for inner in value]
    if not isinstance(value, str) or not value:
        return value
    if key in _OWN_SECRETS if own else _SECRET.search(key):
        return MASK
    return _CREDENTIALS_IN_URL.sub(f"{MASK}@", value)


def forbidden(patch: Mapping[str, Any], caller: Caller) -> Denial | None:
    """The denial of keys that the caller may not change; a tenant's administrator changes `twoFAConfigs` alone."""
    if caller.is_operator:
        return None
    outside = [path for path in leaves(patch) if path[: len(TWO_FACTOR)] != TWO_FACTOR or path == TWO_FACTOR]
    if not outside:
        return None
    faults = tuple(Fault(written(path), "only the operator may change it") for path in outside)
    return Denial(Reason.FORBIDDEN, "A tenant's administrator may change keys of twoFAConfigs only.", faults)


def masks_in(patch: Mapping[str, Any]) -> Denial | None:
    """The denial of values that a client read as masked secrets and sent back."""
    faults = tuple(
        Fault(written(path), "is a masked secret; leave the key out, or write the secret")
        for path, value in _values(patch, ())
        if isinstance(value, str) and MASK in value
    )
    return Denial(Reason.INVALID, faults=faults) if faults else None


def beyond_limits(old: Tenant, new: Tenant) -> Denial | None:
    """The denial of a policy that the operator's limits for this tenant do not allow to its administrators."""
    limits, faults = old.api.limits, []
    if not limits.may_switch_off:
        if old.policy.enabled and not new.policy.enabled:
            faults.append(Fault(_at("is2FAEnabled"), "only the operator may switch the second factor off"))
        if _is_optional(new.policy) and not _is_optional(old.policy):
            faults.append(Fault(_at("enrolment"), "only the operator may make the second factor optional"))
    for key, most in limits.maxima.items():
        before, after = (getattr(tenant.policy, FIELDS[key]) for tenant in (old, new))
        if after is not None and after > most and after != before:
            faults.append(Fault(_at(key), f"must be at most {most}, by the operator's limits"))
    return Denial(Reason.FORBIDDEN, "The operator's limits do not allow it.", tuple(faults)) if faults else None


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The paths that differ; of `twoFAConfigs`, which has no secret, with both values."""
    before, after = dict(_values(old, ())), dict(_values(new, ()))
    told = []
    for path in dict.fromkeys((*before, *after)):
        if before.get(path, ...) != after.get(path, ...):
            values = f" {before.get(path, '-')} → {after.get(path, '-')}" if path[:2] == TWO_FACTOR else ""
            told.append(f"{written(path)}{values}")
    return told


def leaves(value: Mapping[str, Any]) -> Iterator[Path]:
    """The paths of all values that are no sections, and of empty sections."""
    return (path for path, _ in _values(value, ()))


def _values(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _values(inner, (*path, key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _values(inner, (*path, number))
    else:
        yield path, value


def _is_optional(policy: Policy) -> bool:
    return policy.enrolment is EnrolmentRule.OPTIONAL


def _at(key: str) -> str:
    return written((*TWO_FACTOR, key))
