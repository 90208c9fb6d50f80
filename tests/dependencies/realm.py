"""The realms of the tests' Keycloak: `expertflow` as EFCX has it, and one without the gateway's attribute.

Passwords and client secrets are arguments: they are made when the database is built, and are never in the tree.
"""

import json
from collections.abc import Mapping
from typing import Any

REALM, BARE_REALM = "expertflow", "noattribute"
ATTRIBUTE = "efcx2fa"
ROLES = ("agent", "supervisor", "quality_manager", "evaluator", "routing_manager", "admin")
CLIENTS = ("cim", "gateway-login", "gateway-admin")
AGENTS = tuple(f"agent{n}" for n in range(1, 10))
USERS = (*AGENTS, *ROLES[1:], "noemail", "norole", "disabled1", "due1", "other-action")
BARE_USER = "agent1"

# The smallest set that reads and writes users, attributes and sessions, and reads the declared profile (measured).
ADMIN_ROLES = ("manage-users",)

# Cheap on purpose: the tests log in thousands of times, and the default hash costs 0.1 CPU seconds each.
_PASSWORD_POLICY = "length(8) and notUsername and hashAlgorithm(pbkdf2-sha256) and hashIterations(1000)"


def realms(passwords: Mapping[str, str], secrets: Mapping[str, str]) -> list[dict[str, Any]]:
    """Both realms, as JSON for Keycloak's import.

    :param passwords: user name to password, for every one of ``USERS``.
    :param secrets: client id to secret, for every one of ``CLIENTS``.
    """
    main = _realm(REALM, secrets, _profile(declare_attribute=True))
    main["users"] = [*(_user(name, passwords[name]) for name in USERS), _service_account()]
    bare = _realm(BARE_REALM, secrets, _profile(declare_attribute=False))
    bare["users"] = [_user(BARE_USER, passwords[BARE_USER]), _service_account()]
    return [main, bare]


def _realm(name: str, secrets: Mapping[str, str], profile: dict[str, Any]) -> dict[str, Any]:
    return {
        "realm": name,
        "enabled": True,
        "sslRequired": "external",
        "accessTokenLifespan": 300,
        "ssoSessionIdleTimeout": 1800,
        "ssoSessionMaxLifespan": 36000,
        "passwordPolicy": _PASSWORD_POLICY,
        "bruteForceProtected": True,
        "failureFactor": 30,
        "quickLoginCheckMilliSeconds": 0,  # the default locks for a minute after two failures within a second
        "roles": {"realm": [{"name": role} for role in ROLES]},
        "clients": [
            _client("cim", secrets["cim"], directAccessGrantsEnabled=True),
            _client(
                "gateway-login",
                secrets["gateway-login"],
                directAccessGrantsEnabled=True,
                standardFlowEnabled=True,
                redirectUris=["http://127.0.0.1/*", "http://localhost/*"],
            ),
            _client("gateway-admin", secrets["gateway-admin"], serviceAccountsEnabled=True),
        ],
        "components": {
            "org.keycloak.userprofile.UserProfileProvider": [
                {
                    "providerId": "declarative-user-profile",
                    "config": {"kc.user.profile.config": [json.dumps(profile)]},
                }
            ]
        },
    }


def _client(client_id: str, secret: str, **more: Any) -> dict[str, Any]:
    return {
        "clientId": client_id,
        "secret": secret,
        "enabled": True,
        "publicClient": False,
        "clientAuthenticatorType": "client-secret",
        "standardFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": False,
        "fullScopeAllowed": True,
    } | more


def _service_account() -> dict[str, Any]:
    return {
        "username": "service-account-gateway-admin",
        "enabled": True,
        "serviceAccountClientId": "gateway-admin",
        "clientRoles": {"realm-management": list(ADMIN_ROLES)},
    }


def _user(name: str, password: str) -> dict[str, Any]:
    role = name if name in ROLES else "agent"
    user: dict[str, Any] = {
        "username": name,
        "enabled": name != "disabled1",
        "firstName": name.capitalize(),
        "lastName": "Tester",
        "email": f"{name}@example.com",
        "emailVerified": True,
        "realmRoles": [] if name == "norole" else [role],
        "credentials": [{"type": "password", "value": password}],
        "requiredActions": {"due1": ["UPDATE_PASSWORD"], "other-action": ["CONFIGURE_TOTP"]}.get(name, []),
    }
    if name == "noemail":
        del user["email"]
        user["emailVerified"] = False
    return user


def _profile(*, declare_attribute: bool) -> dict[str, Any]:
    """Returns Keycloak's default without `required`: with it, a user without a name or address cannot log in."""
    seen = {"view": ["admin", "user"], "edit": ["admin", "user"]}
    attributes: list[dict[str, Any]] = [
        {
            "name": "username",
            "displayName": "${username}",
            "permissions": seen,
            "validations": {"length": {"min": 3, "max": 255}, "username-prohibited-characters": {}},
        },
        {
            "name": "email",
            "displayName": "${email}",
            "permissions": seen,
            "validations": {"email": {}, "length": {"max": 255}},
        },
        {"name": "firstName", "displayName": "${firstName}", "permissions": seen},
        {"name": "lastName", "displayName": "${lastName}", "permissions": seen},
    ]
    if declare_attribute:
        attributes.append(
            {
                "name": ATTRIBUTE,
                "displayName": "Second factor (sealed)",
                "multivalued": True,
                "permissions": {"view": ["admin"], "edit": ["admin"]},
                "validations": {"length": {"min": 0, "max": 2048}},
            }
        )
    return {"attributes": attributes, "groups": []}
