"""Defines the user attribute that a realm must declare, and describes what is missing.

Keycloak silently drops an attribute that its user profile does not declare, and answers 204 (measured). So the realm
must declare the attribute for sealed enrolments: multivalued, and visible and editable for administrators only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

ATTRIBUTE = "efcx2fa"

WANTED: Mapping[str, Any] = {
    "name": ATTRIBUTE,
    "displayName": "Second factor (sealed)",
    "multivalued": True,
    "permissions": {"view": ["admin"], "edit": ["admin"]},
    "validations": {"length": {"min": 0, "max": 2048}},
}
"""The attribute's declaration, as an item of `attributes` in `PUT admin/realms/{realm}/users/profile`."""

_TO_ADMINISTRATORS = ", who can edit: admin only, enabled when: always"
HOW = (
    f"in Keycloak's admin console: Realm settings, User profile, attribute {ATTRIBUTE}: multivalued on, required off, "
    "who can view: admin only, who can edit: admin only, no length validator below 2048"
)


def findings(profile: Mapping[str, Any]) -> tuple[str, ...]:
    """What in this user profile prevents storing enrolments, or shows them to users; each with its fix."""
    declared = _declared(profile, ATTRIBUTE)
    if declared is None:
        return _undeclared(profile.get("unmanagedAttributePolicy"))
    permissions = declared.get("permissions") or {}
    found: list[str] = []
    for right, verb in (("view", "see"), ("edit", "change")):
        roles: Sequence[str] = permissions.get(right) or ()
        if "user" in roles:
            found.append(f"users may {verb} the attribute {ATTRIBUTE}")
    if "admin" not in (permissions.get("edit") or ()):
        found.append(f"administrators may not change the attribute {ATTRIBUTE}, so enrolments cannot be stored")
    if declared.get("multivalued") is not True:
        found.append(f"the attribute {ATTRIBUTE} is not multivalued, so many enrolments cannot be stored")
    if declared.get("required"):
        found.append(f"the attribute {ATTRIBUTE} is required, so users without it cannot sign in")
    length = (declared.get("validations") or {}).get("length") or {}
    if int(length.get("max") or 2048) < 2048 or int(length.get("min") or 0) > 1:
        found.append(f"the length allowed for the attribute {ATTRIBUTE} is too narrow")
    return tuple(f"{one}; {HOW}" for one in found)


def users_may_edit(profile: Mapping[str, Any], attribute: str) -> bool:
    """Whether users can change `attribute` of their own, or this profile does not tell.

    A declaration for some scopes only (`selector`) says nothing about requests with other scopes.
    """
    declared = _declared(profile, attribute)
    unmanaged = declared is None or bool((declared.get("selector") or {}).get("scopes"))
    if unmanaged and profile.get("unmanagedAttributePolicy") not in ("ADMIN_EDIT", "ADMIN_VIEW"):
        return True
    editors = (declared.get("permissions") or {}).get("edit") if declared else ()
    return editors is None or "user" in editors


def not_sealed_off(profile: Mapping[str, Any], name: str) -> str:
    """What keeps the values of `name` from being those that an administrator wrote, with the fix; "" if nothing does.

    Users may write them, or the realm hides them from administrators.
    """
    declared = _declared(profile, name)
    here = f"Realm settings, User profile, attribute {name}"
    if declared is None:
        here = 'Realm settings, General, Unmanaged attributes to "Only administrators can write"'
        if profile.get("unmanagedAttributePolicy") is None:
            return f"the realm hides the attribute {name}; set {here}"
    if users_may_edit(profile, name):
        return f"users may change the attribute {name}; set {here}{_TO_ADMINISTRATORS if declared else ''}"
    permissions = (declared or {}).get("permissions") or {}
    if declared and "admin" not in {*(permissions.get("view") or ()), *(permissions.get("edit") or ())}:
        return f"the realm hides the attribute {name}; set {here}, who can view: admin"
    return ""


def _declared(profile: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((one for one in profile.get("attributes") or () if one.get("name") == name), None)


def _undeclared(policy: str | None) -> tuple[str, ...]:
    """The finding for an undeclared attribute: only the policy ADMIN_EDIT keeps and hides it (measured)."""
    if policy == "ADMIN_EDIT":
        return ()
    if policy == "ENABLED":
        return (f"the attribute {ATTRIBUTE} is not declared, so users may see and change it; {HOW}",)
    return (f"the attribute {ATTRIBUTE} is not declared, so Keycloak silently drops it; {HOW}",)
