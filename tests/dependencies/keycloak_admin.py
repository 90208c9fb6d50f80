"""The administrator of the real Keycloak: makes, reads and changes users for tests.

Each test makes the users it needs (`create_user`), so that tests can run in parallel. Tests only read the users of
`realm.py`. All calls are plain, blocking HTTP with the administrator of the master realm.
"""

import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.dependencies import realm


@dataclass(frozen=True)
class Person:
    """A user that a test made."""

    id: str
    username: str
    password: str
    email: str | None


class KeycloakAdmin:
    """The administrator of one Keycloak. An unexpected answer raises `httpx2.HTTPStatusError`."""

    def __init__(self, base_url: str, username: str, password: str) -> None:
        self._http = httpx2.Client(base_url=base_url, trust_env=False, timeout=30)
        self._username, self._password = username, password
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def create_user(
        self,
        *,
        username: str | None = None,
        email: str | None = "",
        roles: tuple[str, ...] = ("agent",),
        password: str | None = None,
        required_actions: tuple[str, ...] = (),
        enabled: bool = True,
        email_verified: bool = True,
        attributes: dict[str, list[str]] | None = None,
        realm_name: str = realm.REALM,
    ) -> Person:
        """Makes a new user with a random name. `email`: "" gives the user a new address, `None` gives none."""
        name = username or f"user-{secrets.token_hex(6)}"
        word = password or new_password()
        address = f"{name}@example.com" if email == "" else email
        body: dict[str, Any] = {
            "username": name,
            "enabled": enabled,
            "firstName": "Test",
            "lastName": "Person",
            "emailVerified": bool(address) and email_verified,
            "requiredActions": list(required_actions),
            "credentials": [{"type": "password", "value": word, "temporary": False}],
        }
        if address:
            body["email"] = address
        if attributes:
            body["attributes"] = attributes
        made = self._call("POST", f"/admin/realms/{realm_name}/users", realm_name="", json=body)
        user_id = made.headers["Location"].rpartition("/")[2]
        if roles:
            wanted = [self._get(f"roles/{role}", realm_name) for role in roles]
            self._call("POST", f"users/{user_id}/role-mappings/realm", realm_name, json=wanted)
        return Person(user_id, name, word, address)

    def user_id(self, username: str, realm_name: str = realm.REALM) -> str:
        """Returns the id of the user with exactly this name; raises `LookupError` if there is none."""
        found = self._get("users", realm_name, username=username, exact="true")
        if not found:
            raise LookupError(username)
        return str(found[0]["id"])

    def user(self, user_id: str, realm_name: str = realm.REALM) -> dict[str, Any]:
        """Returns the whole representation, attributes included."""
        found: dict[str, Any] = self._get(f"users/{user_id}", realm_name)
        return found

    def delete_user(self, user_id: str, realm_name: str = realm.REALM) -> None:
        """Deletes the user."""
        self._call("DELETE", f"users/{user_id}", realm_name)

    def attribute(self, user_id: str, name: str = realm.ATTRIBUTE, realm_name: str = realm.REALM) -> list[str]:
        """Returns all values of one attribute; empty if it is missing."""
        values: list[str] = self.user(user_id, realm_name).get("attributes", {}).get(name, [])
        return values

    def set_attribute(
        self, user_id: str, values: list[str], name: str = realm.ATTRIBUTE, realm_name: str = realm.REALM
    ) -> None:
        """Sets exactly these values (none removes the attribute) and keeps everything else of the user."""
        now = self.user(user_id, realm_name)
        now["attributes"] = {**now.get("attributes", {}), name: values}
        self._call("PUT", f"users/{user_id}", realm_name, json=now)

    def change(self, user_id: str, realm_name: str = realm.REALM, **fields: Any) -> None:
        """Changes top-level fields, for example `enabled=False`, `email=…`, `requiredActions=[…]`; keeps the others."""
        self._call("PUT", f"users/{user_id}", realm_name, json=fields)

    def set_password(
        self, user_id: str, password: str, *, temporary: bool = False, realm_name: str = realm.REALM
    ) -> None:
        """Sets a password; with `temporary` the user must set another one at the next login."""
        body = {"type": "password", "value": password, "temporary": temporary}
        self._call("PUT", f"users/{user_id}/reset-password", realm_name, json=body)

    def failures(self, user_id: str, realm_name: str = realm.REALM) -> dict[str, Any]:
        """Returns Keycloak's brute-force record: `numFailures`, `disabled`, …"""
        found: dict[str, Any] = self._get(f"attack-detection/brute-force/users/{user_id}", realm_name)
        return found

    def clear_failures(self, user_id: str, realm_name: str = realm.REALM) -> None:
        """Unlocks the user."""
        self._call("DELETE", f"attack-detection/brute-force/users/{user_id}", realm_name)

    def soon_signed_out(self, user_id: str) -> bool:
        """Returns whether the user soon has no open session; the gateway ends sessions after its answer."""
        return any(not self.sessions(user_id) for _ in range(500))

    def sessions(self, user_id: str, realm_name: str = realm.REALM) -> list[dict[str, Any]]:
        """Returns the user's open sessions."""
        found: list[dict[str, Any]] = self._get(f"users/{user_id}/sessions", realm_name)
        return found

    def logout(self, user_id: str, realm_name: str = realm.REALM) -> None:
        """Ends all sessions of the user."""
        self._call("POST", f"users/{user_id}/logout", realm_name)

    def reset(self, username: str, password: str, realm_name: str = realm.REALM) -> str:
        """Resets a user: no second factor, this password, enabled, no required action, no lock, no session."""
        user_id = self.user_id(username, realm_name)
        self.set_attribute(user_id, [], realm_name=realm_name)
        self.set_password(user_id, password, realm_name=realm_name)
        self.change(user_id, realm_name, enabled=True, requiredActions=[])
        self.clear_failures(user_id, realm_name)
        self.logout(user_id, realm_name)
        return user_id

    def request(self, method: str, path: str, realm_name: str = realm.REALM, **more: Any) -> httpx2.Response:
        """Makes any other call of the admin API; `path` is below `/admin/realms/{realm}/`."""
        return self._call(method, path, realm_name, **more)

    def _get(self, path: str, realm_name: str, **query: str) -> Any:
        return self._call("GET", path, realm_name, params=query).json()

    def _call(self, method: str, path: str, realm_name: str, **more: Any) -> httpx2.Response:
        url = f"admin/realms/{realm_name}/{path}" if realm_name else path.lstrip("/")
        answer = self._http.request(method, url, headers=self._bearer(), **more)
        if answer.status_code == httpx2.codes.UNAUTHORIZED:  # the administrator's token expires after a minute
            self._token = ""
            answer = self._http.request(method, url, headers=self._bearer(), **more)
        return answer.raise_for_status()

    def _bearer(self) -> dict[str, str]:
        if not self._token:
            form = {
                "grant_type": "password",
                "client_id": "admin-cli",
                "username": self._username,
                "password": self._password,
            }
            answer = self._http.post("realms/master/protocol/openid-connect/token", data=form).raise_for_status()
            self._token = str(answer.json()["access_token"])
        return {"Authorization": f"Bearer {self._token}"}


def new_password() -> str:
    """Returns a random password that the realm's policy accepts."""
    return f"{secrets.token_urlsafe(12)}Aa1!"
