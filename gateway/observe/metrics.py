"""Counts logins and audit events for Prometheus.

Counters are by tenant and outcome, never by user, in a registry of their own. The audit calls `count` for each event,
so no other code needs to count.
"""

from prometheus_client import CollectorRegistry, Counter, PlatformCollector, ProcessCollector, generate_latest

from gateway.observe.audit import AuditEvent

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES = {
    AuditEvent.SESSION_OPENED: "signed-in",
    AuditEvent.PASSWORD_REJECTED: "wrong-password",
    AuditEvent.PROVIDER_SIGN_IN_REJECTED: "refused",
    AuditEvent.LOGIN_STOPPED: "refused",
    AuditEvent.LOGIN_UNAVAILABLE: "unavailable",
    AuditEvent.LOGIN_QUEUE_FULL: "too-many",
    AuditEvent.LIMIT_REACHED: "limited",
    AuditEvent.LOCK_SET: "locked",
}


class Metrics:
    """Counts events for `/metrics`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._logins = Counter(
            "efcx_gateway_logins", "Logins by outcome", ["tenant", "outcome"], registry=self._registry
        )
        self._events = Counter("efcx_gateway_events", "Audit events", ["tenant", "event"], registry=self._registry)

        by_channel = ["tenant", "channel"]
        self._texts, self._parts, self._cost = (
            Counter(f"efcx_gateway_sms_{name}", about, by_channel, registry=self._registry)
            for name, about in (
                ("messages", "Texts sent"),
                ("parts", "Parts of the texts sent"),
                ("estimated_cost", "Parts of the texts sent, times the price of the channel"),
            )
        )

    def count(self, event: AuditEvent, tenant: str) -> None:
        """Count one audit event."""
        self._events.labels(tenant, event.value).inc()
        if outcome := OUTCOMES.get(event):
            self._logins.labels(tenant, outcome).inc()

    def text_sent(self, tenant: str, channel: str, parts: int, price: float) -> None:
        """Count one text that a service has, or may have, accepted. `price` is that of one part."""
        self._texts.labels(tenant, channel).inc()
        self._parts.labels(tenant, channel).inc(parts)
        self._cost.labels(tenant, channel).inc(parts * price)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
