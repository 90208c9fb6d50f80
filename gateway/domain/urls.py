"""Host names, origins, addresses of apps and paths, as settings may have them.

Each function takes a text and returns its one normal form, or raises `ValueError` with a sentence that says what is
allowed. No function resolves a name or opens a connection.
"""

import re
from ipaddress import IPv4Address, ip_address
from urllib.parse import SplitResult, urlsplit

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_INTERNAL_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
"""Names of Compose services and of some internal DNS have underscores; no certificate or browser is concerned."""
_ROUTE = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,=:@-]+)+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_name(text: str) -> str:
    """A DNS name or IPv4 address, lower case, without scheme, port and trailing dot."""
    name = text.lower()
    if is_ipv4(name):
        return name
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise ValueError("must be a host name alone, as efcx.example.com (no scheme, port or path)")
    return name


def internal_host(text: str) -> str:
    """A host that the gateway alone resolves: also an IPv6 address (without brackets), and a name with underscores."""
    host = text.lower()
    try:
        ip_address(host)
    except ValueError:
        labels = host.split(".")
        if len(host) > 253 or not all(_INTERNAL_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
            raise ValueError(
                "must be a host name or address alone, as smtp.example.com (no scheme, port or path)"
            ) from None
    return host


def is_ipv4(name: str) -> bool:
    """Whether `name` is a dotted IPv4 address."""
    try:
        IPv4Address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether `host` can only mean this machine (RFC 6761 6.3 for names)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_internal(host: str) -> bool:
    """Whether `host` is this machine or a service of the same cluster, by its name alone."""
    return is_loopback(host) or host.endswith((".svc", ".svc.cluster.local")) or not (set(host) & {".", ":"})


def origin(text: str) -> str:
    """`scheme://host[:port]`, lower case, without a default port."""
    url = _web_url(text, "must be an origin as https://efcx.example.com (scheme, host and, where needed, port)")
    if url.path not in ("", "/"):
        raise ValueError("must be an origin as https://efcx.example.com, without a path")
    return f"{url.scheme}://{_authority(url)}"


def base_url(text: str) -> str:
    """An http(s) URL with host and path, without query; ends in `/`."""
    url = _web_url(text, "must be a URL as http://keycloak:8080/auth/", internal=True)
    return f"{url.scheme}://{_authority(url)}{url.path.rstrip('/')}/"


def service_url(text: str) -> str:
    """The base URL of a service that gets codes or secrets: https, or http on this machine and inside the cluster."""
    url = base_url(text)
    if url.startswith("http:") and not is_internal(urlsplit(url).hostname or ""):
        raise ValueError("must be https: http is for this machine and for names of the same cluster")
    return url


def upstream(text: str) -> str:
    """An http(s) URL of an app, with a base path or none; does not end in `/`."""
    url = _web_url(text, "must be a URL as http://ef-cx-unified-admin-svc:3000", internal=True)
    return f"{url.scheme}://{_authority(url)}{url.path.rstrip('/')}"


def link(text: str) -> str:
    """A target of a link for users: https, http or an own path; as written."""
    if text.startswith("/") and not text.startswith(("//", "/\\")):
        return text
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname:
        raise ValueError("must be an https:// or http:// address, or a path that begins with /")
    return text


def route_path(text: str) -> str:
    """A path prefix of whole segments: "" for everything, else `/a` or `/a/b`."""
    path = text.rstrip("/") if text != "" else "/"
    if path == "" and text.startswith("/"):
        return ""
    if not _ROUTE.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
        raise ValueError("must be / or whole segments as /unified-admin, without %, ?, #, ; or empty segments")
    return path


def own_path(text: str) -> str:
    """An exact path on this host, as written."""
    plain = text == "/" or ("//" not in text and _ROUTE.fullmatch(text.rstrip("/")))
    if plain and not any(part in (".", "..") for part in text.split("/")):
        return text
    raise ValueError("must be a path as /unified-admin/, without %, ?, #, ; or empty segments")


def page_address(text: str) -> str:
    """An https address of a page outside of the apps, without user, query and fragment; in its one normal form."""
    url = _web_url(text, "must be an address as https://help.example.com/agent")
    if url.scheme != "https":
        raise ValueError("must be an https:// address as https://help.example.com/agent")
    return f"https://{_authority(url)}{url.path or '/'}"


def service_address(text: str) -> str:
    """The address of a service that gets names or codes of users, with path and query, as written."""
    allowed = "must be an address as https://services.example.com/check"
    base, _, query = text.partition("?")
    _web_url(base, allowed, internal=True)
    if "#" in query or not query.isascii() or not query.isprintable() or " " in query:
        raise ValueError(f"{allowed}, with a plain query or none")
    return text


def page_or_path(text: str) -> str:
    """A `page_address`, or an exact path on this host."""
    return own_path(text) if text.startswith("/") else page_address(text)


def socket_address(text: str) -> tuple[str, int]:
    """`host:port` (`:port` for all addresses, `[::1]:port` for IPv6)."""
    host, colon, port = text.rpartition(":")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("must be an address and a port, an IPv6 address in brackets as [::1]:8080")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be an address and a port as 0.0.0.0:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def store_url(text: str) -> str:
    """The address of the store, as written. Errors never quote it, because it may contain a password."""
    scheme = text.partition("://")[0]
    if scheme == "memory":
        return text
    if scheme not in ("redis", "rediss", "unix") or "://" not in text:
        raise ValueError("must begin with memory://, redis://, rediss:// or unix://")
    allowed = "must be an address as redis://user:password@host:6379/0 (special characters of a password as %40)"
    try:
        url = urlsplit(text)
        found = url.path if scheme == "unix" else url.hostname and url.port != 0
    except ValueError:
        raise ValueError(allowed) from None
    if not found or (scheme != "unix" and url.path.strip("/") and not url.path.strip("/").isdecimal()):
        raise ValueError(allowed)
    return text


def covers(domain: str, host: str) -> bool:
    """Whether a cookie of `domain` is sent to `host` (RFC 6265 5.1.3)."""
    return host == domain or (host.endswith(f".{domain}") and not is_ipv4(host))


def _web_url(text: str, allowed: str, *, internal: bool = False) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(allowed) from error
    plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if not plain or url.scheme not in _DEFAULT_PORTS or not url.hostname or port == 0:
        raise ValueError(allowed)
    if url.username is not None or url.query or url.fragment or text.endswith(("?", "#")):
        raise ValueError(f"{allowed}, without user, query and fragment")
    if any(part in (".", "..") for part in url.path.split("/")) or "//" in url.path or "%" in url.path:
        raise ValueError(f"{allowed}, with a plain path")
    if internal:
        try:
            internal_host(url.hostname)
        except ValueError:
            raise ValueError(f"{allowed}, with a host name or an address") from None
    else:
        host_name(url.hostname)
    return url


def _authority(url: SplitResult) -> str:
    host = (url.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    return host if url.port in (None, _DEFAULT_PORTS[url.scheme]) else f"{host}:{url.port}"
