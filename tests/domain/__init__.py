"""The words of the gateway."""
