"""Reads the settings files: YAML with line numbers, secret references, diagnostics."""
