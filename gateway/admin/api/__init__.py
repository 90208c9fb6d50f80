"""The REST API for programs, `/-/api/v1`: bearers only, never a session cookie."""
