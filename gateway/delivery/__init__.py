"""Delivery of messages over a tenant's channels."""
