"""The body of an answer as the dialects read it: unpacked, and in UTF-8.

An answer may be packed without a header that says so, and be written in the charset that its `Content-Type` names. What can't be unpacked or
decoded is left as it came: it is no JSON then, and told so.
"""

from __future__ import annotations

import codecs
import functools
import zlib
from email.message import Message

from tieline.model.errors import Undecodable
from tieline.transport.ports import HttpResponse

_GZIP = b"\x1f\x8b\x08"
_WIDE = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_PLAIN = (b"{", b"[")
_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii", "utf-8-sig", "")


def make_plain(response: HttpResponse, most_bytes: int) -> None:
    """Unpack a body, and write it in UTF-8. Raises `Undecodable` for one that is larger than `most_bytes` once it is unpacked."""
    body, content = response.body, response.headers.get("Content-Type", "")
    if body[:1] in _PLAIN and "charset" not in content.lower():  # the common case, quickly
        return
    if body.startswith(_GZIP):
        response.body = body = _unpacked(body, most_bytes)
    charset = _charset(content) if "charset" in content.lower() else ""
    for mark, wide in _WIDE:
        if body.startswith(mark):
            charset = wide
            break
    else:
        if charset in ("utf-16", "utf-32"):  # without a mark, the first character tells: it is one of ASCII in JSON
            charset += "-be" if body[:1] == b"\x00" else "-le"
    if charset in _UTF8:
        return
    try:
        response.body = body.decode(charset).encode()
    except (LookupError, UnicodeError):
        return


@functools.lru_cache(maxsize=256)
def _charset(content: str) -> str:
    message = Message()
    message["Content-Type"] = content
    found = message.get_content_charset("")
    return str(found).lower()


def _unpacked(body: bytes, most_bytes: int) -> bytes:
    parts, size, rest = [], 0, body
    try:
        while rest.startswith(_GZIP):  # it may have several members
            unpacker = zlib.decompressobj(wbits=31)
            parts.append(unpacker.decompress(rest, most_bytes - size + 1))
            size += len(parts[-1])
            if size > most_bytes:
                raise Undecodable(
                    f"the answer is larger than {most_bytes / 2**20:g} MiB once it is unpacked",
                    next_step="ask for smaller pages, or raise `max_answer_mib` in the connector",
                )
            if not unpacker.eof:
                return body  # cut off
            rest = unpacker.unused_data
    except zlib.error:
        return body
    return b"".join(parts)
