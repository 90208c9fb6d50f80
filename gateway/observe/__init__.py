"""Output for operators: logs, audit events and metrics."""
