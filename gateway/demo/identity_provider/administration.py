"""The admin API's users of the stand-in, with the semantics of Keycloak's that bite: see `put_user`."""

import uuid
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.demo.identity_provider.openid import bearer_claims, fail, named_realm
from gateway.demo.identity_provider.realm import Realm, StandInClient, StandInUser

PREFIX = "/auth/admin/realms/{realm}"
LONGEST_VALUE = 2048
READ = {"view-users", "manage-users", "realm-admin"}
WRITE = {"manage-users", "realm-admin"}


class Administration:
    """Handlers for every realm. Administrators of realm `master` (role `admin`) may do everything in each."""

    def __init__(self, realms: Mapping[str, Realm]) -> None:
        self._realms = realms

    def routes(self) -> list[web.RouteDef]:
        """The table of routes."""
        user = f"{PREFIX}/users/{{user}}"
        locks = f"{PREFIX}/attack-detection/brute-force/users/{{user}}"
        return [
            web.get(PREFIX, self.realm_settings),
            web.get(f"{PREFIX}/users", self.find),
            web.post(f"{PREFIX}/users", self.create),
            web.get(f"{PREFIX}/users/profile", self.profile),
            web.put(f"{PREFIX}/users/profile", self.put_profile),
            web.get(user, self.get_user),
            web.put(user, self.put_user),
            web.delete(user, self.delete_user),
            web.get(f"{user}/credentials", self.credentials),
            web.put(f"{user}/reset-password", self.reset_password),
            web.get(f"{user}/sessions", self.sessions),
            web.post(f"{user}/logout", self.logout),
            web.get(f"{user}/role-mappings/realm", self.roles_of),
            web.post(f"{user}/role-mappings/realm", self.add_roles),
            web.get(f"{user}/role-mappings/realm/composite", self.effective_roles),
            web.delete(f"{user}/role-mappings/realm", self.remove_roles),
            web.get(f"{user}/groups", self.groups_of),
            web.get(f"{PREFIX}/roles/{{role}}", self.role),
            web.post(f"{PREFIX}/clients", self.add_client),
            web.delete(f"{PREFIX}/sessions/{{session}}", self.end_session),
            web.get(locks, self.brute_force),
            web.delete(locks, self.clear_brute_force),
        ]

    # ---------------------------------------------------------------- who may, and whom it is about

    def _realm(self, request: web.Request, needed: set[str]) -> Realm:
        realm = named_realm(self._realms, request)
        claims = bearer_claims(realm, request)
        if claims is not None and needed & _roles(claims, "resource_access", "realm-management"):
            return realm
        master = self._realms.get("master")
        of_master = bearer_claims(master, request) if master else None
        if of_master is not None and "admin" in _roles(of_master, "realm_access"):
            return realm
        if claims is None and of_master is None:
            raise web.HTTPUnauthorized(text='{"error":"HTTP 401 Unauthorized"}', content_type="application/json")
        raise web.HTTPForbidden(text='{"error":"HTTP 403 Forbidden"}', content_type="application/json")

    def _user(self, request: web.Request, needed: set[str]) -> tuple[Realm, StandInUser]:
        realm = self._realm(request, needed)
        user = realm.user(request.match_info["user"])
        if user is None:
            raise web.HTTPNotFound(text='{"error":"User not found"}', content_type="application/json")
        return realm, user

    # ---------------------------------------------------------------- clients

    async def add_client(self, request: web.Request) -> web.Response:
        """A further client, for sign-ins on the realm's own page or by password."""
        realm, said = self._realm(request, {"manage-clients"}), await request.json()
        client = StandInClient(
            said["clientId"],
            said["secret"],
            direct_access=said.get("directAccessGrantsEnabled", False),
            redirect_uris=tuple(said["redirectUris"]) if said.get("standardFlowEnabled") else (),
            pkce=said.get("attributes", {}).get("pkce.code.challenge.method") == "S256",
        )
        realm.clients = [*realm.clients, client]
        return web.Response(status=201)

    # ---------------------------------------------------------------- users

    async def find(self, request: web.Request) -> web.Response:
        """Search: `username` and `email` are parts of it unless `exact=true`; `search=*part*`; `q=attribute:value`."""
        realm = self._realm(request, READ)
        query = request.query
        found = realm.users
        for key in ("username", "email"):
            if key in query:
                found = [one for one in found if _fits(query[key], getattr(one, key), query.get("exact") == "true")]
        if part := query.get("search", "").strip("*").lower():
            names = {one.id: f"{one.username} {one.email} {one.first_name} {one.last_name}" for one in found}
            found = [one for one in found if part in names[one.id].lower()]
        if "q" in query:
            name, _, value = query["q"].partition(":")
            found = [one for one in found if value in one.attributes.get(name, ())]
        found = sorted(found, key=lambda one: one.username)
        first, most = int(query.get("first", 0)), int(query.get("max", 100))
        brief = query.get("briefRepresentation") == "true"
        return web.json_response([representation(realm, one, brief=brief) for one in found[first : first + most]])

    async def realm_settings(self, request: web.Request) -> web.Response:
        """The realm's name; its password policy only with the role view-realm."""
        realm = self._realm(request, {*READ, "view-realm"})
        claims = bearer_claims(realm, request) or {}
        body = {"realm": realm.name}
        if "view-realm" in _roles(claims, "resource_access", "realm-management"):
            body["passwordPolicy"] = f"length({realm.minimum_length}) and notUsername(undefined)"
        return web.json_response(body)

    async def create(self, request: web.Request) -> web.Response:
        """A new user."""
        realm = self._realm(request, WRITE)
        body = await request.json()
        name = str(body.get("username") or "").lower()
        if not name:
            return web.json_response({"errorMessage": "User name is missing"}, status=400)
        if realm.named(name):
            return web.json_response({"errorMessage": "User exists with same username"}, status=409)
        user = StandInUser(username=name, password="", enabled=False, email_verified=False)
        for credential in body.get("credentials") or ():
            realm.set_password(user, str(credential["value"]), temporary=bool(credential.get("temporary")))
        refusal = _store(realm, user, body)
        if refusal is not None:
            return refusal
        realm.add(user)
        return web.Response(status=201, headers={"Location": f"{request.url}/{user.id}"})

    async def get_user(self, request: web.Request) -> web.Response:
        """The whole representation."""
        return web.json_response(representation(*self._user(request, READ)))

    async def put_user(self, request: web.Request) -> web.Response:
        """As Keycloak: with `attributes`, what is left out of it and of e-mail and names is erased, with 204.

        Without `attributes` only the fields that are named change.
        """
        realm, user = self._user(request, WRITE)
        if realm.behaviour.put_fault is not None:
            return await fail(realm.behaviour.put_fault)
        body = await request.json()
        if str(body.get("username") or user.username).lower() != user.username.lower():
            return _attribute_error("username", "error-user-attribute-read-only")
        return _store(realm, user, body) or web.Response(status=204)

    async def delete_user(self, request: web.Request) -> web.Response:
        """The user is gone."""
        realm, user = self._user(request, WRITE)
        realm.end_all(user)
        realm.users.remove(user)
        return web.Response(status=204)

    async def credentials(self, request: web.Request) -> web.Response:
        """The password's record: no secret, but since when it stands."""
        _, user = self._user(request, READ)
        one = {"id": user.credential_id, "type": "password", "createdDate": user.credential_date}
        return web.json_response([one] if user.password else [])

    async def reset_password(self, request: web.Request) -> web.Response:
        """A new password under the realm's policy."""
        realm, user = self._user(request, WRITE)
        body = await request.json()
        password = str(body.get("value") or "")
        fault = realm.password_fault(user, password)
        if fault is not None:
            error, text = fault
            return web.json_response({"error": error, **({"error_description": text} if text else {})}, status=400)
        realm.set_password(user, password, temporary=bool(body.get("temporary")))
        return web.Response(status=204)

    # ---------------------------------------------------------------- sessions, locks, roles, profile

    async def sessions(self, request: web.Request) -> web.Response:
        """The user's live sessions."""
        realm, user = self._user(request, READ)
        found = [
            {
                "id": one.id,
                "username": user.username,
                "userId": user.id,
                "ipAddress": one.address,
                "start": int(one.started_at * 1000),
                "lastAccess": int(one.used_at * 1000),
                "rememberMe": False,
                "clients": {one.client.client_id: one.client.client_id},
                "transientUser": False,
            }
            for one in realm.of_user(user)
        ]
        return web.json_response(found)

    async def logout(self, request: web.Request) -> web.Response:
        """End all sessions of the user."""
        realm, user = self._user(request, WRITE)
        realm.end_all(user)
        return web.Response(status=204)

    async def end_session(self, request: web.Request) -> web.Response:
        """End one session."""
        realm = self._realm(request, WRITE)
        session = realm.sessions.get(request.match_info["session"])
        if session is None:
            return web.json_response({"error": "Session not found"}, status=404)
        realm.end(session)
        return web.Response(status=204)

    async def brute_force(self, request: web.Request) -> web.Response:
        """Failed logins, and whether they lock."""
        _, user = self._user(request, READ)
        found = {
            "numFailures": user.failures,
            "disabled": user.locked,
            "failedLoginNotBefore": 0,
            "lastFailure": user.last_failure,
            "lastIPFailure": "n/a",
            "numTemporaryLockouts": 0,
            "numSecondaryAuthFailures": 0,
        }
        return web.json_response(found)

    async def clear_brute_force(self, request: web.Request) -> web.Response:
        """Unlock."""
        realm, user = self._user(request, WRITE)
        realm.clear_failures(user)
        return web.Response(status=204)

    async def role(self, request: web.Request) -> web.Response:
        """One realm role."""
        realm = self._realm(request, READ)
        name = request.match_info["role"]
        if name not in realm.roles:
            return web.json_response({"error": "Could not find role"}, status=404)
        return web.json_response(_role(realm, name))

    async def roles_of(self, request: web.Request) -> web.Response:
        """The user's realm roles."""
        realm, user = self._user(request, READ)
        return web.json_response([_role(realm, name) for name in user.roles])

    async def effective_roles(self, request: web.Request) -> web.Response:
        """The user's realm roles: the stand-in has no composite ones."""
        realm, user = self._user(request, READ)
        return web.json_response([_role(realm, name) for name in user.roles])

    async def groups_of(self, request: web.Request) -> web.Response:
        """The user's groups."""
        _, user = self._user(request, READ)
        return web.json_response([{"id": path, "name": path.rpartition("/")[2], "path": path} for path in user.groups])

    async def add_roles(self, request: web.Request) -> web.Response:
        """More realm roles."""
        _, user = self._user(request, WRITE)
        user.roles = (*user.roles, *(str(one["name"]) for one in await request.json()))
        return web.Response(status=204)

    async def remove_roles(self, request: web.Request) -> web.Response:
        """Fewer realm roles."""
        _, user = self._user(request, WRITE)
        gone = {str(one["name"]) for one in await request.json()}
        user.roles = tuple(role for role in user.roles if role not in gone)
        return web.Response(status=204)

    async def profile(self, request: web.Request) -> web.Response:
        """The user profile's declaration."""
        return web.json_response(self._realm(request, READ).profile)

    async def put_profile(self, request: web.Request) -> web.Response:
        """Replace it."""
        realm = self._realm(request, {"realm-admin"})
        realm.profile = await request.json()
        return web.json_response(realm.profile)


def representation(realm: Realm, user: StandInUser, *, brief: bool = False) -> dict[str, Any]:
    """A user as the admin API shows it; attributes that the profile does not let through are hidden, not lost."""
    names = {"firstName": user.first_name, "lastName": user.last_name, "email": user.email}
    found: dict[str, Any] = {
        "id": user.id,
        "username": user.username,
        **{name: value for name, value in names.items() if value},
        "emailVerified": user.email_verified,
        "enabled": user.enabled,
        "createdTimestamp": user.created_at,
        "totp": False,
        "disableableCredentialTypes": [],
        "requiredActions": list(user.required_actions),
        "notBefore": user.not_before,
    }
    shown = {name: list(values) for name, values in user.attributes.items() if _let_through(realm, name)}
    if shown and not brief:
        found["attributes"] = shown
    return found


def _store(realm: Realm, user: StandInUser, body: Mapping[str, Any]) -> web.Response | None:
    """What a representation changes in a user; a response when it may not."""
    with_attributes = "attributes" in body
    email = body.get("email", "" if with_attributes else user.email) or ""
    if email and any(one is not user and one.email.casefold() == email.casefold() for one in realm.users):
        return web.json_response({"errorMessage": "User exists with same email"}, status=409)
    if email and "@" not in email:
        return _attribute_error("email", "error-invalid-email", email)
    if with_attributes:
        for name, values in (body["attributes"] or {}).items():
            if any(len(value) > LONGEST_VALUE for value in values):
                return _attribute_error(name, "error-invalid-length", 0, LONGEST_VALUE)
        hidden = {name: values for name, values in user.attributes.items() if not _let_through(realm, name)}
        given = {name: [one for one in values if one] for name, values in (body["attributes"] or {}).items()}
        user.attributes = hidden | {name: values for name, values in given.items() if values and _kept(realm, name)}
    user.email = email
    user.first_name = body.get("firstName", "" if with_attributes else user.first_name) or ""
    user.last_name = body.get("lastName", "" if with_attributes else user.last_name) or ""
    user.enabled = bool(body.get("enabled", user.enabled))
    user.email_verified = bool(body.get("emailVerified", user.email_verified))
    user.required_actions = list(body.get("requiredActions", user.required_actions))
    return None


def _let_through(realm: Realm, name: str) -> bool:
    declared = _declared(realm, name)
    if declared is not None:
        return "admin" in declared.get("permissions", {}).get("view", ())
    return realm.profile.get("unmanagedAttributePolicy") in {"ENABLED", "ADMIN_EDIT", "ADMIN_VIEW"}


def _kept(realm: Realm, name: str) -> bool:
    declared = _declared(realm, name)
    if declared is not None:
        return "admin" in declared.get("permissions", {}).get("edit", ())
    return realm.profile.get("unmanagedAttributePolicy") in {"ENABLED", "ADMIN_EDIT"}


def _declared(realm: Realm, name: str) -> Mapping[str, Any] | None:
    return next((one for one in realm.profile.get("attributes", ()) if one.get("name") == name), None)


def _attribute_error(name: str, message: str, *params: object) -> web.Response:
    return web.json_response({"field": name, "errorMessage": message, "params": [name, *params]}, status=400)


def _fits(wanted: str, value: str, exact: bool) -> bool:
    wanted, value = wanted.casefold(), value.casefold()
    return wanted == value if exact else wanted.strip("*") in value


def _role(realm: Realm, name: str) -> dict[str, Any]:
    role_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{realm.name}/{name}"))
    return {"id": role_id, "name": name, "composite": False, "clientRole": False, "containerId": realm.name}


def _roles(claims: Mapping[str, object], *path: str) -> set[str]:
    found: object = claims
    for name in (*path, "roles"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return {str(one) for one in found} if isinstance(found, list) else set()
