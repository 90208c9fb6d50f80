"""Tests of `gateway.rendering.data_root`."""

from gateway.rendering.data_root import data_root


def test_the_data_folder_contains_pages_styles_and_translations() -> None:
    for name in ("templates", "static", "locales"):
        assert (data_root() / name).is_dir()
