"""Facts of ``gateway.rendering.factor_texts``."""

from gateway.domain.policy import FactorKind
from gateway.rendering import factor_texts
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages


def test_every_factor_has_a_label() -> None:
    assert set(factor_texts.LABELS) == set(FactorKind)


def test_a_label_is_in_the_language_asked_for() -> None:
    arabic = load_languages(data_root() / "locales", ("ar",)).get("ar")
    assert factor_texts.label(FactorKind.EMAIL, arabic) == "رمز عبر البريد الإلكتروني"
