"""A sample tenant and session for tests of `gateway.web`."""

from dataclasses import replace
from typing import Any

from gateway.domain.policy import FactorKind, Method, Policy
from gateway.domain.secret import Secret
from gateway.domain.session import Satisfied, Session, Tokens
from gateway.domain.tenant import Branding, Credentials, KeycloakAccess, Route, Tenant

TENANT = Tenant(
    id="expertflow",
    name="expertflow",
    active=True,
    public_url="https://cc.example",
    routes=(Route("/unified-admin", "http://127.0.0.1:1"), Route("/agent-manager", "http://127.0.0.1:1")),
    keycloak=KeycloakAccess(
        url="http://127.0.0.1:1/auth/",
        realm="expertflow",
        issuer="http://127.0.0.1:1/auth/realms/expertflow",
        sign_in=Credentials("gateway-login", Secret("made-up")),
        administration=Credentials("gateway-admin", Secret("made-up")),
    ),
    policy=Policy(preset="efcx", enabled=True, methods=(Method(FactorKind.EMAIL, "otp@cc.example"),)),
    branding=Branding(name="Expertflow"),
    home="/unified-admin/",
)


def tenant(**changes: Any) -> Tenant:
    """Returns the sample tenant with `changes`."""
    return replace(TENANT, **changes)


def session(access: str = "a.b.c", access_expires_at: float = 1_800_000_300.0) -> Session:
    """Returns a session whose access token is `access`."""
    return Session(
        id="s1",
        tenant="expertflow",
        user_id="u1",
        username="anna",
        display_name="Anna",
        roles=(),
        tokens=Tokens(access, "refresh", access_expires_at, None),
        created_at=1_800_000_000.0,
        used_at=1_800_000_000.0,
        ends_at=1_800_043_200.0,
        password_at=1_800_000_000.0,
        satisfied=Satisfied.PROVED,
    )
