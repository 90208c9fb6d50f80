"""Tests of administration: the API, and the acts behind it."""
