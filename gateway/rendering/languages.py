"""Picks a language, and writes texts, times, numbers and durations in it.

Every language offered has a catalogue in `locales/`. An unknown wish is ignored, never an error.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import cached_property, lru_cache
from gettext import GNUTranslations, NullTranslations
from math import ceil
from pathlib import Path
from typing import Self

from babel import Locale
from babel.dates import format_date, format_time, get_datetime_format
from babel.numbers import format_decimal

from gateway.domain.texts import marked as _

DOMAIN = "gateway"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_CONVENTIONS = {"en": "en-GB"}
"""The locale for dates and numbers of a language whose catalogue names no region."""
_ISOLATE, _END = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its texts, and its way to write times and numbers in `zone` (None: the machine's own)."""

    code: str
    own_name: str
    direction: str
    locale: Locale
    translations: NullTranslations
    zone: tzinfo | None = None

    def gettext(self, message: str) -> str:
        """`message`, which is English, in this language."""
        return self.translations.gettext(message)

    def number(self, value: int) -> str:
        """A number with this language's separators."""
        return _decimal(value, self.locale)

    def duration(self, seconds: float, *, exact: bool = False) -> str:
        """In words, "2 minutes": the largest unit, rounded up (a wait is never longer than said).

        With `exact` a unit is used only when it divides `seconds`, so that a lifetime is never overstated.
        """
        whole = max(0, ceil(seconds))
        for size, singular, plural in (
            (_DAY, "%(num)s day", "%(num)s days"),
            (_HOUR, "%(num)s hour", "%(num)s hours"),
            (_MINUTE, "%(num)s minute", "%(num)s minutes"),
        ):
            least = size if size == _MINUTE else 2 * size
            fits = whole % size == 0 if exact else whole >= least or whole == size
            if whole >= size and fits:
                return self._counted(singular, plural, ceil(whole / size))
        return self._counted("%(num)s second", "%(num)s seconds", whole)

    def time(self, at: float) -> str:
        """The time of day of `at` (seconds since the epoch) with its zone: "10:42 (UTC)"."""
        moment = self._moment(at)
        text = f"{format_time(moment, 'short', locale=self.locale)} ({_zone_name(moment)})"
        return f"{_ISOLATE}{text}{_END}" if self.direction == "rtl" else text

    def date(self, at: float) -> str:
        """The day of `at`: "27 Nov 2026"."""
        return format_date(self._moment(at), "medium", locale=self.locale)

    def date_and_time(self, at: float) -> str:
        """Day, time and zone of `at` (seconds since the epoch), for a mail: "27 Nov 2026, 10:42 (UTC)"."""
        joined = str(get_datetime_format("medium", locale=self.locale)).replace("'", "")
        return joined.format(self.time(at), self.date(at))

    def browser(self, name: str) -> str:
        """A name such as "Chrome on Windows" in this language; anything else as it is."""
        program, on, system = name.partition(" on ")
        return self.gettext(_("%(program)s on %(system)s")) % {"program": program, "system": system} if on else name

    def at_zone(self, zone: tzinfo | None) -> Self:
        """This language with the times of `zone`; with None those that it has."""
        return replace(self, zone=zone) if zone else self

    def iso(self, at: float) -> str:
        """`at` as the `datetime` of a `<time>` element, which a script can turn into the browser's own zone."""
        return self._moment(at).isoformat(timespec="seconds")

    def _moment(self, at: float) -> datetime:
        return datetime.fromtimestamp(at, self.zone).astimezone(self.zone)

    def _counted(self, singular: str, plural: str, count: int) -> str:
        return self.translations.ngettext(singular, plural, count) % {"num": self.number(count)}


@lru_cache(maxsize=1000)
def _decimal(value: int, locale: Locale) -> str:
    return format_decimal(value, locale=locale)


class Languages:
    """The languages offered, in the operator's order. There is at least one."""

    def __init__(self, languages: Iterable[Language]) -> None:
        self._languages: Mapping[str, Language] = {language.code: language for language in languages}
        self._by_tag = {code.lower(): language for code, language in self._languages.items()}
        self._default = next(iter(self._languages.values()))

    @property
    def offered(self) -> tuple[tuple[str, str], ...]:
        """(code, own name) of each, for the select on every page."""
        return tuple((language.code, language.own_name) for language in self._languages.values())

    def get(self, code: str, zone: tzinfo | None = None) -> Language:
        """The language of `code`, or the default one when it is not offered, with the times of `zone`."""
        return self._languages.get(code, self._default).at_zone(zone)

    def __contains__(self, code: str) -> bool:
        return code in self._languages

    def __iter__(self) -> Iterator[Language]:
        return iter(self._languages.values())

    def negotiate(self, wishes: Iterable[str]) -> Language:
        """Returns the first of the language tags `wishes` that is offered, or its language without a region."""
        for wish in wishes:
            tag = wish.replace("_", "-").lower()
            if found := self._by_tag.get(tag) or self._by_tag.get(tag.split("-")[0]):
                return found
        return self._default


def load_languages(folder: Path, codes: Iterable[str], zone: tzinfo | None = None) -> Languages:
    """The languages of `codes` from `folder/<code>/LC_MESSAGES/gateway.po`; `ValueError` names one without a catalogue.

    A compiled catalogue beside it is used unless it is older than its source.
    """
    return Languages(_load(folder, code, zone) for code in codes)


def available(folder: Path) -> tuple[str, ...]:
    """The codes of all languages that have a catalogue in `folder`."""
    return tuple(sorted(po.parts[-3] for po in folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po")))


def _load(folder: Path, code: str, zone: tzinfo | None) -> Language:
    source = folder / code / "LC_MESSAGES" / f"{DOMAIN}.po"
    if not source.is_file():
        raise ValueError(f"no translations for language {code!r}; there are: {', '.join(available(folder))}")
    locale = Locale.parse(code, sep="-")
    return Language(
        code=code,
        own_name=(locale.get_display_name(code) or code).capitalize(),
        direction=locale.text_direction,
        locale=Locale.parse(_CONVENTIONS.get(code, code), sep="-"),
        translations=_Catalogue(source, code),
        zone=zone,
    )


def _zone_name(moment: datetime) -> str:
    """The short name of the zone, as "CET". Zones without one have their distance to UTC, as "UTC+04"."""
    name = moment.tzname() or ""
    return f"UTC{name}" if name[:1] in ("+", "-") else name


class _Catalogue(NullTranslations):
    """The translations of one language, read at the first use: a start needs none of them."""

    def __init__(self, source: Path, code: str) -> None:
        super().__init__()
        self._source = source
        self._code = code

    @cached_property
    def _read(self) -> GNUTranslations:
        compiled, changed = self._source.with_suffix(".mo"), self._source.stat()
        if compiled.is_file() and compiled.stat().st_mtime >= changed.st_mtime:
            with compiled.open("rb") as file:
                return GNUTranslations(file)
        return _parsed(self._source, self._code, changed.st_mtime_ns)

    def gettext(self, message: str) -> str:
        return self._read.gettext(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self._read.ngettext(msgid1, msgid2, n)

    def pgettext(self, context: str, message: str) -> str:
        return self._read.pgettext(context, message)

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int) -> str:
        return self._read.npgettext(context, msgid1, msgid2, n)


@lru_cache(maxsize=16)
def _parsed(source: Path, code: str, _changed: int) -> GNUTranslations:
    """The translations in a source that is not compiled, as in a checkout; an installation has them compiled."""
    from babel.messages.mofile import write_mo  # noqa: PLC0415
    from babel.messages.pofile import read_po  # noqa: PLC0415

    buffer = io.BytesIO()
    with source.open("rb") as file:
        write_mo(buffer, read_po(file, locale=code.replace("-", "_")))
    buffer.seek(0)
    return GNUTranslations(buffer)
