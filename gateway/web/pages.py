"""How does a page leave the gateway?

Promises: every page has its own nonce and a Content-Security-Policy that allows nothing but the gateway's own style,
script and picture files and the tenant's logo; is kept by no cache, framed by nobody, and gives no address away. The
answer is in the language of the request, and the page says so.
"""

import base64
import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web
from jinja2 import Environment
from markupsafe import Markup

from gateway.domain.ports import Random
from gateway.domain.tenant import Branding, Tenant
from gateway.rendering.colours import palette
from gateway.rendering.languages import Language, Languages
from gateway.rendering.step_view import StepView
from gateway.web.assets import Assets
from gateway.web.request_context import LANGUAGE, NONCE, REFERENCE, TENANT

HSTS = "max-age=31536000"
VARY = "Accept, Accept-Language, Cookie"
_ORIGIN = re.compile(r"[A-Za-z0-9.\-\[\]:]+")


class Pages:
    """Renders templates to responses. `prefix` is the gateway's own path prefix."""

    def __init__(
        self, environment: Environment, languages: Languages, assets: Assets, random: Random, prefix: str = "/-/"
    ) -> None:
        self.languages = languages
        self.assets = assets
        self._environment = environment
        self._random = random
        self._prefix = prefix

    def language(self, request: web.Request) -> Language:
        """The language of the answer: what the request was found to want, else what its header asks for."""
        if LANGUAGE in request:
            return self.languages.get(request[LANGUAGE])
        tenant = request.get(TENANT)
        return self.languages.negotiate(
            None, tenant.branding.language if tenant else "", request.headers.get("Accept-Language")
        )

    def render(
        self,
        request: web.Request,
        template: str,
        context: Mapping[str, Any],
        status: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        form_actions: tuple[str, ...] = (),
    ) -> web.Response:
        """The page of `template`, with `context` over the names every page has (see `_names`).

        `form_actions` are further origins a form of this page may end up at (a sign-on elsewhere). Raises
        `jinja2.UndefinedError` for a name the template needs and nobody gave.
        """
        tenant = request.get(TENANT)
        language = self.language(request)
        nonce = base64.b64encode(self._random.token_bytes(16)).decode()
        request[NONCE] = nonce
        names = {**self._names(request, tenant, language, nonce, context.get("view")), **context}
        # Of an app's own form we do not know what asking again would mean.
        names["posted"] = request.method == "POST" and ("view" in context or "here" in context)
        problem = names["problem"]
        response_headers = {
            **page_headers(tenant, nonce, form_actions),
            "Content-Language": language.code,
            "Vary": VARY,
            **({"Retry-After": str(problem.retry_after)} if problem and problem.retry_after else {}),
            **(headers or {}),
        }
        return web.Response(
            text=self._environment.get_template(template).render(names),
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers=response_headers,
        )

    def _names(
        self, request: web.Request, tenant: Tenant | None, language: Language, nonce: str, view: StepView | None
    ) -> dict[str, Any]:
        """What every template may use."""
        branding: Branding | None = tenant.branding if tenant else None
        return {
            "tenant": branding,
            "home": tenant.home if tenant else "/",
            "palette": palette(branding.colour if branding else ""),
            "language": language,
            "direction": language.direction,
            "languages": self.languages.offered,
            "nonce": nonce,
            "prefix": self._prefix,
            "asset": self.assets.url,
            "script": partial(self._script, nonce),
            "view": view,
            "problem": None,
            "to": view.to if view else "",
            "csrf": view.csrf if view else "",
            "here": self._here(request, view),
            "reference": request.get(REFERENCE, ""),
        }

    def _script(self, nonce: str, name: str) -> Markup:
        """One of our scripts inside the page: they are small, and a first page is three requests with its icon."""
        code = Markup(self.assets.text(name))  # noqa: S704 - our own file, from the same place as the template
        return Markup('<script type="module" nonce="{}">\n{}</script>').format(nonce, code)

    def _here(self, request: web.Request, view: StepView | None) -> str:
        """Where a change of language comes back to: the step shown, else the page asked for, never a bare POST."""
        if view is not None:
            return f"{self._prefix}login/{view.step}?{urlencode({'to': view.to})}"
        return request.path_qs if request.method in ("GET", "HEAD") else self._prefix + "login"


def page_headers(tenant: Tenant | None, nonce: str, form_actions: tuple[str, ...] = ()) -> dict[str, str]:
    """The headers that protect a page (security table, D)."""
    headers = {
        "Content-Security-Policy": _policy(_logo_origin(tenant), nonce, form_actions),
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    if tenant is not None and tenant.secure:
        headers["Strict-Transport-Security"] = HSTS
    return headers


def _policy(logo_origin: str, nonce: str, form_actions: tuple[str, ...]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'self' 'nonce-{nonce}'",
            " ".join(("img-src 'self'", logo_origin)).strip(),
            "connect-src 'self'",
            " ".join(("form-action 'self'", *form_actions)),
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _logo_origin(tenant: Tenant | None) -> str:
    """The origin of the tenant's logo; nothing for one of our own, or for what could end the directive."""
    url = urlsplit(tenant.branding.logo if tenant else "")
    return f"{url.scheme}://{url.netloc}" if url.scheme in ("https", "http") and _ORIGIN.fullmatch(url.netloc) else ""
