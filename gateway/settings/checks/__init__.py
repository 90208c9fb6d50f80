"""Checks across sections, tenants and two configurations."""
