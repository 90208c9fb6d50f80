"""Tests that a sealed value opens only with its key, in its context and unchanged."""

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import strategies as st

from gateway.crypto.key_ring import Key, KeyRing, Sealer, Unopenable
from gateway.domain.ports import SystemRandom
from tests.fixtures.properties import Reached, property_test

RANDOM = SystemRandom()


def key() -> Key:
    return Key(RANDOM.token_bytes(4).hex(), RANDOM.token_bytes(32))


OLD, NEW = key(), key()
RING = KeyRing((NEW, OLD))
SEALER = Sealer(RING, "records", RANDOM)


@property_test(value=st.binary(max_size=300), context=st.text(max_size=50), least=1)
def test_a_sealed_value_opens_in_its_context(reached: Reached, value: bytes, context: str) -> None:
    reached()
    assert SEALER.open(SEALER.seal(value, context), context) == value
    assert SEALER.open_text(SEALER.seal_text(value, context), context) == value


@pytest.mark.parametrize("more", ["\n", " ", "!", "+/"])
def test_a_sealed_text_with_an_added_character_does_not_open(more: str) -> None:
    sealed = SEALER.seal_text(b"value", "c")
    for changed in (sealed + more, more + sealed, sealed[:9] + more + sealed[9:]):
        with pytest.raises(Unopenable):
            SEALER.open_text(changed, "c")


def test_a_sealed_value_is_33_bytes_longer() -> None:
    assert len(SEALER.seal(b"x" * 100, "c")) == 133


def test_two_seals_of_one_value_differ_from_the_nonce_on() -> None:
    seals = [SEALER.seal(b"same", "c") for _ in range(1000)]
    assert len({sealed[5:17] for sealed in seals}) == 1000
    assert len({sealed[17:] for sealed in seals}) == 1000


def test_a_value_moved_to_another_context_does_not_open() -> None:
    sealed = SEALER.seal(b"value", "tenant a, user 1")
    with pytest.raises(Unopenable):
        SEALER.open(sealed, "tenant a, user 2")


def test_a_value_sealed_for_another_purpose_does_not_open() -> None:
    with pytest.raises(Unopenable):
        Sealer(RING, "enrolments", RANDOM).open(SEALER.seal(b"value", "c"), "c")


@pytest.mark.parametrize("position", range(38))
def test_a_sealed_value_with_any_byte_flipped_does_not_open(position: int) -> None:
    sealed = bytearray(SEALER.seal(b"value", "c"))
    sealed[position] ^= 1
    with pytest.raises(Unopenable):
        SEALER.open(bytes(sealed), "c")


@pytest.mark.parametrize("length", range(38))
def test_a_truncated_value_does_not_open(length: int) -> None:
    with pytest.raises(Unopenable):
        SEALER.open(SEALER.seal(b"value", "c")[:length], "c")


@property_test(st.binary(max_size=40), st.integers(0, 1000), st.integers(1, 255), least=1)
def test_a_random_sealed_value_with_a_random_byte_changed_does_not_open(
    reached: Reached, value: bytes, at: int, change: int
) -> None:
    sealed = bytearray(SEALER.seal(value, "c"))
    sealed[at % len(sealed)] ^= change
    reached()
    with pytest.raises(Unopenable):
        SEALER.open(bytes(sealed), "c")


@property_test(st.binary(max_size=100), least=1)
def test_a_value_that_was_never_sealed_does_not_open(reached: Reached, garbage: bytes) -> None:
    reached()
    with pytest.raises(Unopenable):
        SEALER.open(garbage, "c")


@pytest.mark.parametrize("garbage", ["", "a", "ä", "AQ==", "not base64 !", "\0", "A" * 1000])
def test_a_text_that_was_never_sealed_does_not_open(garbage: str) -> None:
    with pytest.raises(Unopenable):
        SEALER.open_text(garbage, "c")


def test_an_older_key_of_the_ring_still_opens_and_the_newest_key_seals() -> None:
    before = Sealer(KeyRing((OLD,)), "records", RANDOM).seal_text(b"value", "c")
    assert SEALER.open_text(before, "c") == b"value"
    assert not SEALER.uses_newest(before)
    assert SEALER.uses_newest(SEALER.seal_text(b"value", "c"))


def test_a_key_removed_from_the_ring_opens_nothing() -> None:
    with pytest.raises(Unopenable):
        Sealer(KeyRing((OLD,)), "records", RANDOM).open(SEALER.seal(b"value", "c"), "c")


def test_another_key_with_the_same_id_opens_nothing() -> None:
    imposter = KeyRing((Key(NEW.id, RANDOM.token_bytes(32)),))
    with pytest.raises(Unopenable):
        Sealer(imposter, "records", RANDOM).open(SEALER.seal(b"value", "c"), "c")


def test_a_ring_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        KeyRing(())


def test_the_fingerprint_identifies_the_set_of_keys_in_any_order() -> None:
    assert RING.fingerprint == KeyRing((OLD, NEW)).fingerprint
    assert len({RING.fingerprint, KeyRing((OLD,)).fingerprint, KeyRing((NEW,)).fingerprint}) == 3
    assert len(RING.fingerprint) == 12


def test_neither_key_nor_ring_prints_a_key() -> None:
    assert repr(NEW.value) not in repr(RING)
    assert NEW.value.hex() not in repr(RING)


def test_keys_for_different_purposes_differ() -> None:
    assert len({*RING.derive("a"), *RING.derive("b"), OLD.value, NEW.value}) == 6


def test_keys_are_derived_as_rfc_5869_says() -> None:
    def derived(value: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"efcx-gateway:sign:codes").derive(value)

    assert RING.derive("sign:codes") == (derived(NEW.value), derived(OLD.value))


def test_the_key_derivation_gives_the_test_vector_of_rfc_5869() -> None:
    """Appendix A.3: SHA-256, no salt, no info, 42 bytes."""
    kdf = HKDF(algorithm=SHA256(), length=42, salt=None, info=b"")
    assert kdf.derive(b"\x0b" * 22).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )
