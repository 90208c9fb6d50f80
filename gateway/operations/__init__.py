"""Health, readiness and realm checks for operators."""
