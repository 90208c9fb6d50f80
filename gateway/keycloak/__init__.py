"""Everything the gateway says to Keycloak."""
