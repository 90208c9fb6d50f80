"""Tests with hostile requests."""
