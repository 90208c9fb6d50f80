"""Reads the XML answers of a tenant's web services.

An answer is one root element with one `status`, and for a check of contacts one `methods`. Anything else is no answer.
Document types and entities are refused before they are read, so an answer cannot grow; a fault never quotes the answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

_DEEPEST = 3
"""Levels: root, methods, method."""
_STATUS = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,39}")


class NotAnAnswer(ValueError):
    """The document is not an answer; the text says why, without a word of the document."""


@dataclass(frozen=True, slots=True)
class XmlAnswer:
    """`methods` are the contact methods by their name in lower case; "" where the answer gives no value."""

    status: str
    methods: Mapping[str, str] = field(default_factory=dict, repr=False)


class _Shallow(TreeBuilder):
    """Builds a tree of a few levels, and raises for a deeper one before it grows."""

    depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NotAnAnswer("its elements are nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self.depth -= 1
        return super().end(tag)


def read(document: bytes, root: str) -> XmlAnswer:
    """The answer in `document`, whose root element must be `root`. Raises `NotAnAnswer`."""
    tree = _tree(document)
    if tree.tag != root:
        raise NotAnAnswer(f"its root element is not {root}")
    status = "".join(_only(tree, "status", needed=True).itertext()).strip()
    if not _STATUS.fullmatch(status):
        raise NotAnAnswer("its status is no word")
    return XmlAnswer(status, _methods(tree))


def _tree(document: bytes) -> Element:
    parser = DefusedXMLParser(target=_Shallow(), forbid_dtd=True)
    try:
        parser.feed(document)
        tree: Element = parser.close()
    except NotAnAnswer:
        raise
    except DefusedXmlException as error:
        raise NotAnAnswer("it has a document type or entities, which are not allowed") from error
    except (ParseError, ValueError, LookupError) as error:
        raise NotAnAnswer("it is no well-formed XML document") from error
    return tree


def _only(parent: Element, tag: str, *, needed: bool = False) -> Element:
    """The only child `tag` of `parent`. A status has no elements inside."""
    found = parent.findall(tag)
    if len(found) > 1 or (needed and not found):
        raise NotAnAnswer(f"it has {'more than one' if found else 'no'} {tag}")
    if needed and len(found[0]):
        raise NotAnAnswer(f"its {tag} has elements inside")
    return found[0] if found else Element(tag)


def _methods(tree: Element) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for method in _only(tree, "methods").findall("method"):
        name = method.get("name", "").strip().lower()
        if not name or name in found:
            raise NotAnAnswer("its methods have no name, or the same name twice")
        found[name] = method.get("value", "").strip()
    return found
