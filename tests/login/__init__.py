"""Tests of the login: machine, flow, pages."""
