"""Renders mails: a subject of one line that never holds a code, a plain text, and an HTML part of the same text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment

from gateway.domain.tenant import Tenant
from gateway.rendering.colours import palette
from gateway.rendering.languages import Languages


@dataclass(frozen=True, slots=True)
class MailText:
    """A rendered mail. Its parts may hold a code and do not show in its repr."""

    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    language: str


class Mails:
    """Renders `templates/<name>.{subject,txt,html}`."""

    def __init__(self, environments: Mapping[str, Environment], languages: Languages) -> None:
        self._environments = environments
        self._languages = languages

    def render(self, name: str, language: str, tenant: Tenant, **context: Any) -> MailText:
        """The mail `name`, as in "factors/email/message"; raises `jinja2.UndefinedError` for a name not given.

        All take username, host, browser ("" when it is not known), at (s since the epoch) and reference.
        `factors/email/message` also takes code, expires_in (s) and tag; the others of an
        account take factor (its label), sent_to (masked), about (a device or browser) and count (of codes or days).
        """
        spoken = self._languages.get(language, tenant.zone)
        values = {
            "about": "",
            "count": 0,
            **context,
            "branding": tenant.branding,
            "palette": palette(tenant.branding.colour),
            "browser": spoken.browser(context["browser"]),
            "time": spoken.date_and_time(context["at"]),
        }
        get = self._environments[spoken.code].get_template
        subject, text, html = [get(f"{name}.{kind}").render(values) for kind in ("subject", "txt", "html")]
        return MailText(" ".join(subject.split()), text.strip() + "\n", html, language)
