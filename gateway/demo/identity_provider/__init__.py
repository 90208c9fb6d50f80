"""An identity provider for the demo and for fast tests, on Keycloak's paths. Never part of production.

`build([Realm(…), …])` gives an aiohttp application that answers as Keycloak 26.7 does where the gateway looks: grants,
keys, logout, and the admin API's users. Realms and users are plain values that their owner may change at any time, and
`Behaviour` switches what real servers differ in or do on a bad day. One contract suite holds it and the real Keycloak
to the same facts. It differs on purpose: passwords are not hashed, nothing outlives the process.
"""

from gateway.demo.identity_provider.application import build
from gateway.demo.identity_provider.realm import Behaviour, Fault, Realm, StandInClient, StandInUser

__all__ = ["Behaviour", "Fault", "Realm", "StandInClient", "StandInUser", "build"]
