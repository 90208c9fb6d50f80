"""What operators look at: health, readiness, checks."""
