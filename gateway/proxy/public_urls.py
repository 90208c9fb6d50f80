"""Maps URLs and cookie paths in an app's answer to those that the browser can reach.

Pure. A route may strip its prefix, and its app may have a base path, so its own paths differ from the public
ones. The gateway maps header fields only; the body passes as it is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from gateway.domain.tenant import Route, Tenant
from gateway.web.request_check import Checked

_LINK = re.compile(r"<([^<>]*)>")


def public_origin(checked: Checked, tenant: Tenant) -> str:
    """The origin this request was made to: `public_url` on the host that was asked."""
    url = urlsplit(tenant.public_url)
    return f"{url.scheme}://{checked.host}{f':{url.port}' if url.port else ''}"


@dataclass(frozen=True)
class PublicUrls:
    """The URLs of the app of `route` for browsers at `origin`. `own_prefix` is that of the gateway's own pages."""

    origin: str
    route: Route
    tenant: Tenant
    own_prefix: str

    def field(self, name: str, value: str) -> str:
        """The value of a header field. `name` is in lower case."""
        mapped = _FIELDS.get(name)
        return mapped(self, value) if mapped else value

    def url(self, value: str) -> str:
        """A URL at the app's internal origin or at the public one, or a path, with the public path; others unchanged.

        A path that is public already is not changed: an app may know its prefix by `X-Forwarded-Prefix`. Browsers
        resolve a relative path against the public URL of the request, so it needs no change.
        """
        try:
            given = urlsplit(value)
            where = _address(given, self._app.scheme)
        except ValueError:
            return value
        if given.scheme not in ("", "http", "https") or not (given.netloc or value.startswith("/")):
            return value
        internal = bool(given.netloc) and where == _address(self._app, "")
        if given.netloc and not internal and not self._is_public_origin(given):
            return value
        path = self._path(given.path or "/", of_app=internal)
        if path is None:
            return value
        rest = f"{path}{f'?{given.query}' if given.query else ''}{f'#{given.fragment}' if given.fragment else ''}"
        # Less the base path, "/ui//other.example" would name another host.
        return f"{self.origin}{rest}" if given.netloc or rest.startswith(("//", "/\\")) else rest

    def links(self, value: str) -> str:
        """A `Link` field (RFC 8288)."""
        return _LINK.sub(lambda link: f"<{self.url(link[1])}>", value)

    def refresh(self, value: str) -> str:
        """A `Refresh` field (HTML, "shared declarative refresh steps"): seconds, then `; url=` and the URL."""
        before, equals, url = value.partition("=")
        if not before.rstrip().lower().endswith("url"):
            return value
        url = url.strip()
        quote = url[:1] if url[:1] in ("'", '"') else ""
        return f"{before}{equals}{quote}{self.url(url.strip(quote or None))}{quote}"

    def cookie(self, value: str) -> str:
        """A `Set-Cookie` field. Two apps that strip their prefixes keep their cookies of one name apart.

        A `__Host-` cookie is not changed: browsers accept it for the path `/` only.
        """
        pair, *attributes = value.split(";")
        if not (self._base or self.route.strip_prefix) or pair.strip().lower().startswith("__host-"):
            return value
        return ";".join([pair, *(self._attribute(text) for text in attributes)])

    def _attribute(self, text: str) -> str:
        key, _, value = text.partition("=")
        path = value.strip()
        if key.strip().lower() != "path" or not path.startswith("/"):
            return text
        if self._base and f"{self._base}/".startswith(f"{path.rstrip('/')}/"):
            path = self._base  # the app's own root, or above it
        public = self._path(path, of_app=True)
        return text if public is None else f"{key}={public.rstrip('/') or '/'}"

    def _path(self, path: str, *, of_app: bool) -> str | None:
        """The public path of an app's `path`; None if it is outside of the app's base path.

        `of_app`: the app cannot mean another route, as it names its own address, or a cookie of its own.
        """
        if self._base:
            if path != self._base and not path.startswith(f"{self._base}/"):
                return None
            path = path[len(self._base) :] or "/"
        elif self.route.strip_prefix and self._is_public(path, of_app=of_app):
            return path
        return f"{self.route.path}{path}" if self.route.strip_prefix else path

    def _is_public(self, path: str, *, of_app: bool) -> bool:
        found = self.tenant.route_of(path)
        if of_app:
            return found is self.route
        return bool(found and found.path) or path.startswith(self.own_prefix)

    def _is_public_origin(self, url: SplitResult) -> bool:
        """Whether `url` has the public origin. An app that gets the public `Host` may not know its scheme."""
        public = urlsplit(self.origin)
        if self.route.pass_host:
            return url.netloc.lower() == public.netloc
        return (url.scheme or public.scheme, _address(url, public.scheme)) == (public.scheme, _address(public, ""))

    @cached_property
    def _app(self) -> SplitResult:
        return urlsplit(self.route.to)

    @cached_property
    def _base(self) -> str:
        return self._app.path.rstrip("/")


_FIELDS: dict[str, Callable[[PublicUrls, str], str]] = {
    "location": PublicUrls.url,
    "content-location": PublicUrls.url,
    "link": PublicUrls.links,
    "refresh": PublicUrls.refresh,
    "set-cookie": PublicUrls.cookie,
}


def _address(url: SplitResult, scheme: str) -> tuple[str | None, int]:
    return url.hostname, url.port or (443 if (url.scheme or scheme) == "https" else 80)
