"""All communication with Keycloak."""
