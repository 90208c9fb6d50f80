"""Tests of the findings about a realm's user profile: each is named with its remedy."""

from typing import Any

import pytest

from gateway.keycloak.user_profile_schema import ATTRIBUTE, WANTED, findings, not_sealed_off, users_may_edit

FOR_SOME_SCOPES = {"name": "phone", "permissions": {"edit": ["admin"]}, "selector": {"scopes": ["address"]}}


def declared(**changes: Any) -> dict[str, Any]:
    return {"attributes": [{"name": "email"}, {**WANTED, **changes}]}


def test_the_wanted_declaration_has_no_findings() -> None:
    assert findings(declared()) == ()


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (declared(permissions={"view": ["admin", "user"], "edit": ["admin"]}), "users may see"),
        (declared(permissions={"view": ["admin"], "edit": ["admin", "user"]}), "users may change"),
        (declared(permissions={"view": ["admin"], "edit": []}), "administrators may not change"),
        (declared(permissions=None), "administrators may not change"),
        (declared(multivalued=False), "not multivalued"),
        (declared(required={"roles": ["user"]}), "required"),
        (declared(validations={"length": {"max": "255"}}), "too narrow"),
        ({"attributes": []}, "not declared, so Keycloak silently drops it"),
        ({}, "not declared, so Keycloak silently drops it"),
        ({"attributes": [], "unmanagedAttributePolicy": "ADMIN_VIEW"}, "not declared, so Keycloak silently drops it"),
        ({"attributes": [], "unmanagedAttributePolicy": "ENABLED"}, "users may see and change"),
    ],
)
def test_each_finding_is_named_with_its_remedy(profile: dict[str, Any], words: str) -> None:
    (finding,) = findings(profile)
    assert words in finding
    assert f"attribute {ATTRIBUTE}: multivalued on" in finding


def test_attributes_that_only_administrators_may_edit_need_no_declaration() -> None:
    assert findings({"attributes": [], "unmanagedAttributePolicy": "ADMIN_EDIT"}) == ()


def test_a_declaration_without_a_length_has_no_findings() -> None:
    assert findings(declared(validations={})) == ()


@pytest.mark.attack("F3", "F4")
@pytest.mark.parametrize(
    ("profile", "may"),
    [
        ({"attributes": [{"name": "phone", "permissions": {"view": ["admin"], "edit": ["admin"]}}]}, False),
        ({"attributes": [{"name": "phone", "permissions": {"view": ["user"], "edit": []}}]}, False),
        ({"attributes": [{"name": "phone", "permissions": {"edit": ["admin", "user"]}}]}, True),
        ({"attributes": [{"name": "phone"}]}, True),
        ({"attributes": [{"name": "phone", "permissions": {"view": ["user"]}}]}, True),
        ({"attributes": [], "unmanagedAttributePolicy": "ADMIN_EDIT"}, False),
        ({"attributes": [], "unmanagedAttributePolicy": "ADMIN_VIEW"}, False),
        ({"attributes": [], "unmanagedAttributePolicy": "ENABLED"}, True),
        ({"attributes": [FOR_SOME_SCOPES], "unmanagedAttributePolicy": "ENABLED"}, True),
        ({"attributes": [FOR_SOME_SCOPES], "unmanagedAttributePolicy": "ADMIN_EDIT"}, False),
        (
            {"attributes": [{**FOR_SOME_SCOPES, "selector": {"scopes": []}}], "unmanagedAttributePolicy": "ENABLED"},
            False,
        ),
        ({}, True),
    ],
)
def test_users_may_edit_an_attribute_unless_the_profile_says_that_they_cannot(
    profile: dict[str, Any], may: bool
) -> None:
    assert users_may_edit(profile, "phone") is may


HIDES, CHANGES = "the realm hides the attribute phone", "users may change the attribute phone"


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"attributes": [{"name": "phone", "permissions": {"view": ["admin"], "edit": ["admin"]}}]}, ""),
        ({"attributes": [{"name": "phone", "permissions": {"view": ["user"], "edit": []}}]}, HIDES),
        ({"attributes": [{"name": "phone", "permissions": {"edit": ["user"]}}]}, CHANGES),
        ({"attributes": [], "unmanagedAttributePolicy": "ADMIN_EDIT"}, ""),
        ({"attributes": [], "unmanagedAttributePolicy": "ENABLED"}, CHANGES),
        ({"attributes": []}, HIDES),
    ],
)
def test_an_attribute_holds_what_an_administrator_wrote_unless_users_may_write_it_or_the_realm_hides_it(
    profile: dict[str, Any], words: str
) -> None:
    assert not_sealed_off(profile, "phone").partition(";")[0] == words
