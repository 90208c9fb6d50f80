"""What the gateway tells its operators: logs, audit events, metrics."""
