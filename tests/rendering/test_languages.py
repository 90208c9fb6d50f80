"""Tests of `gateway.rendering.languages`."""

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.rendering.data_root import data_root
from gateway.rendering.languages import Languages, available, load_languages
from tests.fixtures.clock import START

LOCALES = data_root() / "locales"


@pytest.fixture(scope="module")
def languages() -> Languages:
    """Returns English and Arabic, in UTC."""
    return load_languages(LOCALES, ("en", "ar"), UTC)


@pytest.mark.row("GW-39")
def test_arabic_is_written_from_right_to_left(languages: Languages) -> None:
    assert (languages.get("ar").direction, languages.get("en").direction) == ("rtl", "ltr")


def test_each_language_is_offered_by_its_native_name(languages: Languages) -> None:
    assert languages.offered == (("en", "English"), ("ar", "العربية"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.2, "1 minute"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (300, "5 minutes"),
        (3600, "1 hour"),
        (7201, "3 hours"),
        (86400, "1 day"),
    ],
)
def test_a_wait_is_rounded_up_to_its_largest_unit(languages: Languages, seconds: float, words: str) -> None:
    assert languages.get("en").duration(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(90, "90 seconds"), (60, "1 minute"), (120, "2 minutes")])
def test_a_lifetime_is_never_overstated(languages: Languages, seconds: int, words: str) -> None:
    assert languages.get("en").duration(seconds, exact=True) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "ثانية واحدة"),
        (2, "ثانيتين"),
        (5, "5 ثوانٍ"),
        (30, "30 ثانية"),
        (120, "دقيقتين"),
        (600, "10 دقائق"),
        (14 * 86400, "14 يومًا"),
    ],
)
def test_arabic_durations_have_the_correct_plural_forms(languages: Languages, seconds: int, words: str) -> None:
    assert languages.get("ar").duration(seconds) == words


def test_a_time_of_day_names_its_time_zone(languages: Languages) -> None:
    assert languages.get("en").time(START) == "08:00 (UTC)"


def test_a_time_zone_without_a_name_has_its_distance_to_utc(languages: Languages) -> None:
    assert languages.get("en").at_zone(ZoneInfo("Asia/Dubai")).time(START) == "12:00 (UTC+04)"


def test_a_language_writes_day_and_time_in_its_own_order(languages: Languages) -> None:
    assert languages.get("en").date_and_time(START) == "15 Jan 2027, 08:00 (UTC)"
    assert languages.get("ar").date_and_time(START).replace("\u202f", " ").startswith("15\u200f/01\u200f/2027")
    assert languages.get("en").iso(START) == "2027-01-15T08:00:00+00:00"


def test_a_language_without_a_catalogue_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match="no translations for language 'tlh'; there are: ar, en"):
        load_languages(LOCALES, ("tlh",))


def test_a_new_catalogue_needs_no_compilation(tmp_path: Path) -> None:
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "gateway.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "Sign in"\nmsgstr "Anmelden"\n'
    )
    assert available(tmp_path) == ("de",)
    assert load_languages(tmp_path, ("de",)).get("de").gettext("Sign in") == "Anmelden"


@pytest.mark.row("GW-39")
def test_the_first_configured_language_is_the_default() -> None:
    offered = load_languages(LOCALES, ["ar", "en"])
    assert offered.negotiate(["", "xx"]).code == "ar"
