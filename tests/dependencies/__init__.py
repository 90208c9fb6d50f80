"""The real neighbours of a gateway, started for the tests: Keycloak, Redis, Valkey, a mail server, apps, a browser.

Each listens on 127.0.0.1, on a port that was free, and is ended by the id of the process that was started.
"""
