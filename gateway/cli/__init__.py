"""The command efcx-gateway."""
