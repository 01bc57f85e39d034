"""Reads responses of other systems step by step, up to a bound in bytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.outbound.errors import BadResponse

if TYPE_CHECKING:
    import httpx2

_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32  # whichever header comes


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `headers` are pairs in the order of arrival; `content` is decompressed.

    `method`, `url` and `request_headers` are those of the last request, after redirects.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes
    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


def read(response: httpx2.Response, max_bytes: int) -> Response:
    """Return the complete response, decompressed. Raise `BadResponse`, also beyond `max_bytes`."""
    encoding = response.headers.get("content-encoding", "identity")
    pieces, size = [], 0
    for piece in _decoded(response.iter_raw(), encoding.strip().lower(), max_bytes):
        size += len(piece)
        if size > max_bytes:
            raise BadResponse(f"the response is larger than {max_bytes} bytes")
        pieces.append(piece)
    return Response(
        status=response.status_code,
        headers=_pairs(response.headers),
        content=b"".join(pieces),
        method=response.request.method,
        url=str(response.request.url),
        request_headers=_pairs(response.request.headers),
    )


def _pairs(headers: httpx2.Headers) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.raw)


def _decoded(pieces: Iterable[bytes], encoding: str, max_bytes: int) -> Iterator[bytes]:
    """Decompress step by step, so that a decompression bomb never fills the memory."""
    if encoding in ("identity", ""):
        yield from pieces
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadResponse(f"the response is encoded as {encoding[:40]!r}, which was not asked for")
    decoder, begun = zlib.decompressobj(_ZLIB_OR_GZIP), False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if decoder.eof:  # another member may follow, or padding (RFC 1952, 2.2)
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    decoder = zlib.decompressobj(_ZLIB_OR_GZIP)
                yield decoder.decompress(rest, max_bytes + 1)
                if decoder.unconsumed_tail:
                    raise BadResponse(f"the response is larger than {max_bytes} bytes")
                rest, begun = decoder.unused_data, True
        yield decoder.flush()
    except zlib.error as error:
        raise BadResponse(f"the response is not {encoding}: {error}") from error
    if begun and not decoder.eof:  # no byte at all is an answer to HEAD, or a 304
        raise BadResponse(f"the response was cut off in the midst of its {encoding}")
