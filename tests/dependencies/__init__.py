"""The real dependencies of a gateway, started for the tests: Keycloak, Redis, Valkey, a mail server, apps, a browser.

Each listens on 127.0.0.1 on a free port. A test run ends each by the id of the process that it started.
"""
