"""Serves the gateway's own styles, scripts and pictures.

Each file of `static/` is served from memory under a name with a hash of its bytes. So browsers keep it for a year and
see a new release at once. A picture has the colour of its tenant by a query, as `favicon….svg?0b5cad`. Files are
compressed at start where that helps. They need no session and no tenant.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

from gateway.rendering.colours import DEFAULT_COLOUR, palette
from gateway.web.request_context import weights

CONTENT_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
        ".png": "image/png",
        ".ico": "image/vnd.microsoft.icon",
        ".woff2": "font/woff2",
    }
)
FOR_EVER = "public, max-age=31536000, immutable"
_HASH_LENGTH = 16
_COLOUR = re.compile("[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: `file` is its name in the URL, `packed` its gzip form or None where that is no smaller."""

    file: str
    body: bytes
    packed: bytes | None
    content_type: str


class Assets:
    """The files of one folder; `prefix` is the gateway's own ("/-/")."""

    def __init__(self, folder: Path, prefix: str = "/-/") -> None:
        self._base = f"{prefix}static/"
        names = sorted(path for path in folder.iterdir() if path.suffix in CONTENT_TYPES)
        self._by_name = {path.name: _read(path) for path in names}
        self._by_file = {asset.file: asset for asset in self._by_name.values()}

    def url(self, name: str) -> str:
        """The address of `gateway.css` and the like; `KeyError` for a file that is not there."""
        return self._base + self._by_name[name].file

    def text(self, name: str) -> str:
        """The text of the file, for a page that contains it; `KeyError` for a file that is not there."""
        return self._by_name[name].body.decode()

    def routes(self) -> list[web.RouteDef]:
        """The routes that `app` mounts."""
        return [web.get(self._base + "{file}", self.serve)]

    async def serve(self, request: web.Request) -> web.Response:
        """One file, or `HTTPNotFound`."""
        asset = self._by_file.get(request.match_info["file"])
        if asset is None:
            raise web.HTTPNotFound
        if asset.content_type == CONTENT_TYPES[".svg"] and _COLOUR.fullmatch(request.query_string):
            asset = _in_colour(asset, f"#{request.query_string}")
        headers = {
            "Content-Type": asset.content_type,
            "Cache-Control": FOR_EVER,
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            # An SVG opened by itself is a document; this one may do nothing.
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
        }
        if asset.packed is None:
            return web.Response(body=asset.body, headers=headers)
        headers["Vary"] = "Accept-Encoding"
        if weights(request.headers.getall("Accept-Encoding", ())).get("gzip", 0.0) <= 0:
            return web.Response(body=asset.body, headers=headers)
        return web.Response(body=asset.packed, headers={**headers, "Content-Encoding": "gzip"})


def _in_colour(asset: Asset, colour: str) -> Asset:
    """The picture, with the colour of a tenant in place of the default one."""
    body = asset.body.replace(b"#ffffff", palette(colour).on_brand.encode()).replace(
        DEFAULT_COLOUR.encode(), colour.encode()
    )
    return replace(asset, body=body, packed=None)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    packed = gzip.compress(body, compresslevel=9, mtime=0)
    return Asset(
        file=f"{path.stem}.{hashlib.sha256(body).hexdigest()[:_HASH_LENGTH]}{path.suffix}",
        body=body,
        packed=packed if len(packed) < len(body) else None,
        content_type=CONTENT_TYPES[path.suffix],
    )
