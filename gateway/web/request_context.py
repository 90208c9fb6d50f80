"""The facts about a request that several modules need: tenant, client, reference, cookies, language, accepted types.

`web.middleware` writes each key once, before a handler runs. Only `COOKIES` and `LANGUAGE` wait until a reader needs
them: a proxied request has no language.
"""

from collections.abc import Iterable

from aiohttp import hdrs, web

from gateway.domain.configuration import Configuration
from gateway.domain.ports import Random
from gateway.domain.tenant import Tenant
from gateway.rendering.languages import Language, Languages
from gateway.web import cookies
from gateway.web.request_check import Checked, RequestHead

IN_QUESTION = web.RequestKey("in_question", RequestHead)
"""The request that another proxy asks about, in place of its question (`proxy.forward_auth`)."""
CHECKED = web.RequestKey("checked", Checked)
"""The request in its one reading."""

CONFIGURATION = web.RequestKey("configuration", Configuration)
TENANT = web.RequestKey("tenant", Tenant)
CLIENT_ADDRESS = web.RequestKey("client_address", str)
"""The address of the client as far as it can be known: the socket's, or what a trusted proxy says."""

REQUEST_ID = web.RequestKey("request_id", str)
REQUEST_ID_FIELD = "X-Request-ID"
"""The field with the request's id: in the answer, to the app and to Keycloak; from a trusted proxy also in."""
REFERENCE = web.RequestKey("reference", str)
"""The short code on problem pages, in JSON, mails, log and audit."""

COOKIES = web.RequestKey("cookies", dict[str, str])
LANGUAGE = web.RequestKey("language", Language)
"""The language of the answer, one of the offered ones, with the tenant's time zone."""

REFERENCE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 letters that no user confuses on the telephone: no 0, 1, I, O."""

_MAX_WEIGHTED = 2_000
"""Characters of a header field with weights that count."""
_PROGRAMS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def new_reference(random: Random) -> str:
    """Returns eight letters, 40 bits: enough to find one line among those of a year."""
    return "".join([REFERENCE_LETTERS[byte % 32] for byte in random.token_bytes(8)])


def cookies_of(request: web.Request) -> dict[str, str]:
    """Returns the cookies by name, as `cookies.read` does. The first call for a request reads them."""
    if COOKIES not in request:
        request[COOKIES] = cookies.read(request.headers.getall(hdrs.COOKIE, ()))
    return request[COOKIES]


def language_of(request: web.Request, languages: Languages) -> Language:
    """Returns the language of the answer: the user's choice, else the tenant's, else the browser's.

    The first call for a request decides.
    """
    if LANGUAGE not in request:
        tenant = request.get(TENANT)
        choice, preferred = cookies_of(request).get(cookies.LANGUAGE, ""), tenant.branding.language if tenant else ""
        accepted = by_weight(request.headers.getall(hdrs.ACCEPT_LANGUAGE, ()))
        language = languages.negotiate((choice, preferred, *accepted))
        request[LANGUAGE] = language.at_zone(tenant.zone) if tenant else language
    return request[LANGUAGE]


def wants_json(request: web.Request) -> bool:
    """Whether the client is a program: it prefers JSON to HTML, or names neither and sends JSON or asks by script."""
    accepted = weights(request.headers.getall(hdrs.ACCEPT, ()))
    json = max(accepted.get("application/json", 0.0), accepted.get("application/problem+json", 0.0))
    html = max(accepted.get("text/html", 0.0), accepted.get("application/xhtml+xml", 0.0))
    if json or html:
        return json > html
    by_script = request.headers.get("X-Requested-With", "").lower() == "xmlhttprequest"
    return by_script or request.content_type == "application/json"


def weights(values: Iterable[str]) -> dict[str, float]:
    """Returns the weight of each name in a field like `Accept` or `Accept-Encoding` (RFC 9110 12.4.2).

    Names are in lower case. A weight that is no number counts as 0.
    """
    found: dict[str, float] = {}
    for item in ",".join(values)[:_MAX_WEIGHTED].lower().split(","):
        name, *parameters = [part.strip() for part in item.split(";")]
        found[name] = max(found.get(name, 0.0), _weight(parameters))
    return found


def by_weight(values: Iterable[str]) -> list[str]:
    """Returns the names in a field with weights, the heaviest first, without those of weight 0."""
    found = weights(values)
    return sorted([name for name in found if found[name] > 0], key=found.__getitem__, reverse=True)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def browser_name(user_agent: str) -> str:
    """Returns a name for mails and lists, such as "Chrome on Windows". No decision uses it.

    The name has a word for the program and one for the system; an unknown one is left out.
    """
    program = next((word for mark, word in _PROGRAMS if mark in user_agent), "")
    system = next((word for mark, word in _SYSTEMS if mark in user_agent), "")
    return f"{program} on {system}" if program and system else program or system
