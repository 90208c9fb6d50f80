"""Runs every pattern of the package, and every walk over text from outside, on hostile inputs of half a MiB.

A separate process, because its only outcome is "finished" or "killed": the kernel ends it (`RLIMIT_CPU`) when one
subject uses `SECONDS` of CPU. What is linear needs a tenth of that for all its inputs; what is quadratic would
need minutes for the first of them. Each subject is printed before it is tried, so the last line names the slow one.
"""

import importlib
import pkgutil
import re
import resource
from collections.abc import Callable, Iterator
from itertools import chain
from types import ModuleType
from typing import Any

from re import _constants as sre  # type: ignore[attr-defined]  # the parse tree has no public form  # isort: skip
from re import _parser  # type: ignore[attr-defined]  # isort: skip

import gateway

SECONDS = 8
LONG = 2**19
PAIRS = 2**16
"""Length of the many inputs of two parts; a quadratic pattern still needs many seconds for one."""
MOST_PARTS = 7
_OF_CATEGORY = {
    sre.CATEGORY_DIGIT: "0",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_WORD: "a",
    sre.CATEGORY_NOT_DIGIT: "a",
    sre.CATEGORY_NOT_SPACE: "a",
    sre.CATEGORY_NOT_WORD: "-",
}
_PROBES = "aA0_-./:;=@%\"' \n\x00é"


def modules() -> Iterator[ModuleType]:
    """Returns every module of the package except those that run when they are imported."""
    for found in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def patterns() -> dict[str, re.Pattern[Any]]:
    """Returns every compiled pattern of the package by `module.name`; an imported one counts once."""
    found: dict[int, tuple[str, re.Pattern[Any]]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                found.setdefault(id(value), (f"{module.__name__}.{name}", value))
    return dict(found.values())


def parts(pattern: re.Pattern[Any]) -> list[str]:
    """Returns the words and characters that `pattern` consists of, words first."""
    text = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    found = list(dict.fromkeys(_literals(_parser.parse(text, pattern.flags & ~re.DEBUG))))
    return sorted(found, key=lambda part: -len(part))[:MOST_PARTS] or ["a"]


def _literals(tree: Any) -> Iterator[str]:
    word = ""
    for operation, argument in tree:
        if operation is sre.LITERAL:
            word += chr(argument)
            continue
        if word:
            yield word
        word = ""
        yield from _inside(operation, argument)
    if word:
        yield word


def _inside(operation: Any, argument: Any) -> Iterator[str]:
    if operation is sre.IN:
        yield from _members(argument)
    elif operation in (sre.NOT_LITERAL, sre.ANY):
        yield "a"
    elif operation is sre.SUBPATTERN:
        yield from _literals(argument[-1])
    elif operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        yield from _literals(argument[2])
    elif operation is sre.BRANCH:
        yield from chain.from_iterable(_literals(branch) for branch in argument[1])
    elif operation in (sre.ASSERT, sre.ASSERT_NOT):
        yield from _literals(argument[1])
    elif operation is sre.ATOMIC_GROUP:
        yield from _literals(argument)


def _members(members: Any) -> Iterator[str]:
    if members[0][0] is sre.NEGATE:
        refused = set(_members(members[1:]))
        yield next(probe for probe in _PROBES if probe not in refused)
        yield from refused
        return
    for kind, value in members:
        if kind is sre.LITERAL:
            yield chr(value)
        elif kind is sre.RANGE:
            yield chr(value[0])
        elif kind is sre.CATEGORY:
            yield _OF_CATEGORY[value]


def inputs(of: list[str]) -> Iterator[str]:
    """Yields each part repeated, with an end that most patterns refuse, and each part after each other one,
    once and repeatedly.
    """
    for part in of:
        for end in ("", "\x00"):
            yield part * (LONG // len(part)) + end
    for first in of:
        for second in of:
            if first != second:
                pair = first + second
                yield pair * (PAIRS // len(pair)) + "\x00"
                if len(first) > 1:
                    yield first + second * (PAIRS // len(second)) + "\x00"


def try_pattern(pattern: re.Pattern[Any]) -> None:
    """Searches `pattern` at every place of every input, and matches it from the beginning."""
    for text in inputs(parts(pattern)):
        subject: Any = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
        pattern.sub(type(subject)(), subject)
        pattern.fullmatch(subject)


def walks() -> dict[str, Callable[[str], object]]:
    """Returns the functions that read text from outside without a pattern, by name."""
    from gateway.delivery import smtp
    from gateway.observe import redaction
    from gateway.proxy import blocked_endpoints, headers, public_urls, routing
    from gateway.web import client_address, cookies, request_check, request_context, return_to
    from tests.proxy.proxy_server import HOST, head
    from tests.proxy.proxy_server import tenant as sample

    tenant = sample()
    urls = public_urls.PublicUrls(f"https://{HOST}", tenant.routes[0], tenant, "/-/")

    def routed(text: str) -> object:
        path = request_check.check(head(f"/{text}"))
        return path if isinstance(path, request_check.InvalidRequest) else routing.find(path, tenant, "/-/")

    def with_field(name: str) -> Callable[[str], object]:
        return lambda text: request_check.check(head("/", (name, text)))

    return {
        "a line of the log": lambda text: redaction.clean({"a": text, "b": [text] * 1000, "exception": text}),
        "the name of a value": lambda text: redaction.clean({text: 1}),
        "a deep value": lambda text: redaction.clean({"a": _nest([text] * 60, 6)}),
        "a target": routed,
        "segments": lambda text: blocked_endpoints.is_blocked(tuple(text[:8192].split("/"))),
        "a field": with_field("X-Any"),
        "Host": lambda text: request_check.check(head("/", host=text)),
        "Cookie": with_field("Cookie"),
        "a cookie": lambda text: cookies.read([text]),
        "a cookie of an app": lambda text: headers.may_set_cookie(text, HOST, tenant),
        "a location of an app": urls.url,
        "links of an app": urls.links,
        "a refresh of an app": urls.refresh,
        "a path of a cookie": urls.cookie,
        "Connection": lambda text: request_check.listed([text]),
        "a place to return to": lambda text: return_to.check(f"/{text}", tenant),
        "X-Forwarded-For": lambda text: client_address.client_address("127.0.0.1", [text], _any_network()),
        "Accept-Language": lambda text: request_context.by_weight([text]),
        "Accept": lambda text: request_context.weights([text]),
        "an address": smtp.one_address,
        "an answer of a relay": smtp.without_addresses,
    }


def _any_network() -> Any:
    from ipaddress import ip_network

    return (ip_network("0.0.0.0/0"),)


def _nest(value: Any, deep: int) -> Any:
    for _ in range(deep):
        value = [value] * 60
    return value


WALKED = (
    "a",
    "/",
    "a/",
    ";",
    "a;",
    ",",
    "a,",
    "%25",
    "%2f",
    "%cc%80%cc%96",
    "a=1;",
    "\\",
    ".",
    "a@",
    "q=0,",
    "1.1.1.1,",
    " ",
)


def main() -> None:
    """Tries everything, with a separate limit of CPU seconds for each subject."""
    for name, pattern in patterns().items():
        _allow(name)
        try_pattern(pattern)
    for name, walk in walks().items():
        _allow(name)
        for part in WALKED:
            walk(part * (LONG // len(part)))
            walk(part * (8_000 // len(part)))  # what a limit of 8 KiB lets through
    print("finished", flush=True)


def _allow(subject: str) -> None:
    print(subject, flush=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(
        resource.RLIMIT_CPU,
        (int(used.ru_utime + used.ru_stime) + SECONDS, resource.RLIM_INFINITY),
    )


if __name__ == "__main__":
    main()
