"""Tests that a signature verifies exactly its parts."""

import base64
import hashlib
import hmac

import pytest

from gateway.crypto.key_ring import Key, KeyRing, Signer
from gateway.domain.ports import SystemRandom

RANDOM = SystemRandom()


def key() -> Key:
    return Key(RANDOM.token_bytes(4).hex(), RANDOM.token_bytes(32))


OLD, NEW = key(), key()
SIGNER = Signer(KeyRing((NEW, OLD)), "form")


def test_a_signature_verifies_for_its_parts() -> None:
    assert SIGNER.verify(SIGNER.sign("a", "b"), "a", "b")


@pytest.mark.parametrize("parts", [("ab",), ("a", "b", ""), ("", "a", "b"), ("b", "a"), ("a", "B"), ("a",), ()])
def test_a_signature_verifies_for_no_other_parts(parts: tuple[str, ...]) -> None:
    assert not SIGNER.verify(SIGNER.sign("a", "b"), *parts)


def test_a_signature_has_43_url_safe_characters() -> None:
    signature = SIGNER.sign("a")
    assert len(signature) == 43
    assert set(signature) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_signer_for_another_purpose_does_not_verify_the_signature() -> None:
    assert not Signer(KeyRing((NEW, OLD)), "cookie").verify(SIGNER.sign("a"), "a")


def test_a_signature_by_an_older_key_of_the_ring_verifies() -> None:
    assert SIGNER.verify(Signer(KeyRing((OLD,)), "form").sign("a"), "a")


def test_a_signature_by_a_key_outside_the_ring_does_not_verify() -> None:
    assert not SIGNER.verify(Signer(KeyRing((key(),)), "form").sign("a"), "a")


@pytest.mark.parametrize("garbage", ["", "a", "é" * 43, "\ud800", "\0", "A" * 100_000], ids=range(6))
def test_an_invalid_signature_does_not_verify(garbage: str) -> None:
    assert not SIGNER.verify(garbage, "a")


def test_parts_with_any_text_are_signed() -> None:
    assert SIGNER.verify(SIGNER.sign("\ud800", "🔑", "\0"), "\ud800", "🔑", "\0")


def test_a_signature_is_hmac_sha256_over_length_prefixed_parts() -> None:
    """RFC 2104, with the newest key of the purpose."""
    secret = KeyRing((NEW, OLD)).derive("sign:form")[0]
    mac = hmac.new(secret, b"\0\0\0\0\0\0\0\2ab\0\0\0\0\0\0\0\1c", hashlib.sha256).digest()
    assert SIGNER.sign("ab", "c") == base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
