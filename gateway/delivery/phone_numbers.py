"""Reads phone numbers as people and directories write them, in E.164, and decides to which ones a code may be sent.

A number is read in the digits of any script and with the usual punctuation. Codes are sent to mobile, fixed and VoIP
numbers of the countries that a tenant allows, never to numbers with a price of their own (premium rate, shared cost,
personal numbers) or of no country (satellites).
"""

import unicodedata

from phonenumbers import (
    SUPPORTED_REGIONS,
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    format_number,
    is_valid_number,
    number_type,
    parse,
    region_code_for_number,
)

from gateway.domain.problem import Problem
from gateway.domain.tenant import PhoneNumbers
from gateway.domain.texts import typed_line

REGIONS = frozenset(SUPPORTED_REGIONS)
"""The countries that have a plan of numbers, in two letters."""
MOST = 40
"""Characters of an entry. A number has at most 15 digits."""
_SENDABLE = frozenset(
    {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.VOIP,
    }
)
_PUNCTUATION = frozenset("+＋()./\N{FULLWIDTH LEFT PARENTHESIS}\N{FULLWIDTH RIGHT PARENTHESIS}")


def e164(typed: str, numbers: PhoneNumbers) -> str | Problem:
    """The number in `typed` as `+491701234567`, or the problem of an entry that no code may be sent to.

    A number without a country code is one of `numbers.region`. Where it is none of that country, its first digits may
    be a country code: EFCX stores numbers without the plus sign.
    """
    entry = typed_line(typed)
    if len(entry) > MOST or not all(map(_may_be_in_a_number, entry)):
        return Problem.BAD_NUMBER
    found = _number(entry, numbers.region) or _number(f"+{entry}", None)
    if found is None:
        return Problem.BAD_NUMBER
    if number_type(found) not in _SENDABLE or region_code_for_number(found) not in numbers.allowed:
        return Problem.NUMBER_NOT_ALLOWED
    return format_number(found, PhoneNumberFormat.E164)


def in_groups(number: str) -> str:
    """A number in E.164 as people read it: `+49 170 1234567`; anything else as it is."""
    found = _number(number, None)
    return format_number(found, PhoneNumberFormat.INTERNATIONAL) if found else number


def _may_be_in_a_number(character: str) -> bool:
    """Letters are not: the library would take them for keys of a phone, or for an extension."""
    return character in _PUNCTUATION or unicodedata.category(character) in ("Nd", "Zs", "Pd", "Cf")


def _number(entry: str, region: str | None) -> PhoneNumber | None:
    try:
        found = parse(entry, region)
    except NumberParseException:
        return None
    return found if is_valid_number(found) else None
