"""Draws a QR code as an inline SVG, so that the page loads no image."""

import segno


def qr_svg(text: str) -> str:
    """The QR code of `text`, always dark on light, because many apps cannot read an inverted code."""
    return segno.make(text, micro=False, error="m").svg_inline(
        scale=4, border=3, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True
    )
