"""Compares two configurations: what is weaker than before, and what needs a restart.

Pure. The marks of the fields say what a change means (`domain.setting_types.Change`). Only routes, and lists that grow
or shrink, have rules here. The sentences are written to the audit log, so they name tenant and setting and never a
secret.
"""

from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from enum import Enum
from typing import Any, get_type_hints

from gateway.domain.configuration import Configuration, GatewaySettings
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.setting_types import Change
from gateway.domain.tenant import EVERYONE, AllowedUsers, Route, RouteFactor, SecondFactorBy, Tenant
from gateway.settings.files.two_factor import FIELDS

_KEYS = {name: key for key, name in FIELDS.items()}


def weakenings(old: Configuration, new: Configuration) -> tuple[str, ...]:
    """Every setting that asks less of a user than before, as `tenant: setting old → new`; tenant `*` is all of them."""
    found = [f"*: {what}" for what in _weaker_fields(old.gateway, new.gateway)]
    for tenant in new.tenants:
        before = old.tenant(tenant.id)
        if before is not None:
            found.extend(f"{tenant.id}: {what}" for what in _weaker(before, tenant))
    return tuple(found)


def needs_restart(old: GatewaySettings, new: GatewaySettings) -> tuple[str, ...]:
    """Settings that changed and that only a new process uses."""
    return tuple(path for path, mark, _, _ in _changed(old, new) if mark is Change.NEEDS_RESTART)


def _weaker(old: Tenant, new: Tenant) -> Iterator[str]:
    yield from _weaker_policy(old.policy, new.policy)
    for path in sorted({route.path for route in (*old.routes, *new.routes)}):
        was, now = old.route_of(path), new.route_of(path)
        if _is_open(now) and not _is_open(was):
            before = "required" if was and was.path == path else "no route of its own"
            yield f"second_factor of {path or '/'} {before} → off"
        if was and now and (admitted := _newly_admitted(was.allow, now.allow)):
            yield f"allow of {path or '/'} with {admitted}"
    if opened := sorted(set(new.public_paths) - set(old.public_paths)):
        yield f"public_paths with {', '.join(opened)}"
    for route in sorted(new.routes, key=lambda route: route.path):
        covering = old.route_of(route.path)
        if route.service_worker and not (covering and covering.service_worker):
            yield f"service_worker of {route.path or '/'} false → true"
    if added := _second_factor_by(new) - _second_factor_by(old):
        yield f"keycloak.second_factor_by with {', '.join(sorted(added))}"
    wider = new.never_trust_from
    if lost := [n for n in old.never_trust_from if not any(n[0] in wide and n[-1] in wide for wide in wider)]:
        yield f"never_trust_from without {', '.join(sorted(map(str, lost)))}"
    yield from _weaker_fields(replace(old, policy=new.policy), new)


def _newly_admitted(old: AllowedUsers, new: AllowedUsers) -> str:
    """The users whom `new` admits and `old` does not, in words; "" for none."""
    if EVERYONE in (old, new):
        return "every signed-in user" if old != new == EVERYONE else ""
    return ", ".join(sorted((new.roles - old.roles) | (new.groups - old.groups)))


def _second_factor_by(tenant: Tenant) -> frozenset[str]:
    """What an ID token may say in place of a code."""
    by = tenant.keycloak.sso.second_factor_by if tenant.keycloak.sso else SecondFactorBy()
    return frozenset({*(f"acr={value}" for value in by.acr), *(f"amr={value}" for value in by.amr)})


def _is_open(route: Route | None) -> bool:
    return route is not None and route.second_factor is RouteFactor.OFF


def _weaker_policy(old: Policy, new: Policy) -> Iterator[str]:
    if old.enabled and not new.enabled:
        yield "is2FAEnabled true → false"
        return
    before, after = ({m.factor for m in policy.methods} for policy in (old, new))
    stronger = after - before == {FactorKind.TOTP} and bool(before - after)  # an app in place of codes that are sent
    if old.enabled and after - before and not stronger:
        yield f"another way to sign in: {', '.join(sorted(factor.value for factor in after - before))}"
    # Without 2FA, an administrator's code is no further way in.
    judged = old if old.enabled else replace(old, admin_codes=new.admin_codes)
    for text in _weaker_fields(judged, new):
        name, _, values = text.partition(" ")
        yield f"{_KEYS[name]} {values}"


def _weaker_fields(old: object, new: object) -> Iterator[str]:
    for path, mark, before, after in _changed(old, new):
        if mark is Change.MAY_BE_WEAKER:
            yield f"{path} changed"
        elif mark is not Change.NEEDS_RESTART and (_rank(after) > _rank(before)) is (mark is Change.HIGHER_IS_WEAKER):
            yield f"{path} {_word(before)} → {_word(after)}"


def _changed(old: Any, new: Any, inside: str = "") -> Iterator[tuple[str, Change, Any, Any]]:
    """Each mark of a field that has another value: path, mark, old value, new value."""
    for name, hint in get_type_hints(type(new), include_extras=True).items():
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Change):
                yield f"{inside}{name}", mark, before, after
        if is_dataclass(after) and type(after) is type(before):
            yield from _changed(before, after, f"{inside}{name}.")


def _rank(value: Any) -> Any:
    return list(type(value)).index(value) if isinstance(value, Enum) else value


def _word(value: Any) -> str:
    return str(value.value) if isinstance(value, Enum) else str(value).lower()
