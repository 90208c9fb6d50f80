"""Finds the folder of pages, styles and translations: the data of an installed wheel, else the checkout."""

from importlib import resources
from pathlib import Path


def data_root() -> Path:
    """The folder above `templates/`, `static/` and `locales/`."""
    installed = Path(str(resources.files("gateway"))) / "_data"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2]
