"""Tests with dependencies that are down."""
