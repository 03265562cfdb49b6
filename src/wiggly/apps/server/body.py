"""The body of a request, in memory and within its limit; of a multipart one the file.

In: a request. Out: bytes. What is too large is refused while it arrives, what a client calls its file is
never looked at, and nothing is written to disk. Read next: `inputs.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from wiggly.apps.server.refusals import Refusal

__all__ = [
    "FIELD",
    "FRAME",
    "LABEL",
    "Part",
    "correction_of",
    "file_of",
    "media_type",
    "parts_of",
    "read_body",
]

#: The field of a form that holds the file.
FIELD = "file"

#: The field of a correction that holds what the picture really shows.
LABEL = "label"

#: Bytes that a form may take besides its file.
FRAME = 16 * 2**10

MOST_PARTS = 16


def media_type(request: Request) -> str:
    """The content type of a request, without its parameters.

    A browser's form and `curl -F` give it; an empty text means that there is none.
    """
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """All bytes of a body.

    Args:
        request: Whose body has not been read.
        most: Bytes allowed; reading stops at the first one more, whatever the client declared.
        seconds: In which it must have arrived.

    Raises:
        Refusal: It is larger, slower, or was broken off.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdecimal() and int(declared[:20]) > most:
        raise _too_large(most)
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise Refusal(
            "slow_upload",
            f"a body must arrive within {seconds:g} seconds",
            f"after them {len(content):,} bytes had come",
            "Send a smaller file, or use a faster connection.",
            {"Connection": "close"},
        ) from None
    except ClientDisconnect:
        raise Refusal("client_gone", "a client must wait", "it hung up", "Send it again.") from None
    return bytes(content)


def file_of(body: bytes, content_type: str) -> bytes:
    """The file in a multipart body.

    Args:
        body: As it came.
        content_type: Of the request; it names the boundary.

    Raises:
        Refusal: The body is malformed, or holds anything else than one part called `file`.
    """
    parts = parts_of(body, content_type)
    if [part.name for part in parts] == [FIELD]:
        return bytes(parts[0].content)
    told = ", ".join(repr(part.name)[:40] for part in parts[:3]) or "nothing"
    raise Refusal(
        "malformed",
        f"a form must have exactly one field, `{FIELD}`",
        f"it has {told}",
        f"Send one file as `{FIELD}`: curl -F {FIELD}=@photo.jpg ...",
    )


def correction_of(body: bytes, content_type: str) -> tuple[bytes, str]:
    """The file and the label in a multipart body.

    Args:
        body: As it came.
        content_type: Of the request; it names the boundary.

    Raises:
        Refusal: The body is malformed, or holds anything else than these two.
    """
    parts = parts_of(body, content_type)
    found = {part.name: bytes(part.content) for part in parts}
    if len(parts) == 2 and set(found) == {FIELD, LABEL}:
        return found[FIELD], found[LABEL].decode("utf-8", "replace")
    told = ", ".join(repr(part.name)[:40] for part in parts[:3]) or "nothing"
    raise Refusal(
        "malformed",
        f"a correction must have exactly two fields, `{FIELD}` and `{LABEL}`",
        f"it has {told}",
        f"Send both: curl -F {FIELD}=@photo.jpg -F {LABEL}=beagle ...",
    )


@dataclass
class Part:
    """A part of a form: the name of its field and what it holds; never the name of a file."""

    name: str = ""
    content: bytearray = dataclass_field(default_factory=bytearray)


def parts_of(body: bytes, content_type: str) -> list[Part]:
    """All parts of a multipart body.

    Args:
        body: As it came.
        content_type: Of the request; it names the boundary.

    Raises:
        Refusal: The body is malformed, or has too many.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise _malformed("the header Content-Type names no boundary")
    found = _Parts()
    try:
        parser = MultipartParser(boundary, found.callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise _malformed(str(error)) from None
    if not found.ended:
        raise _malformed("it breaks off before its last boundary")
    return found.parts


class _Parts:
    """Listens to the parser."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._field, self._value = bytearray(), bytearray()
        self.callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_part_data": self._on_data,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MOST_PARTS:
            raise ValueError(f"it has more than {MOST_PARTS} parts")
        self.parts.append(Part())

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            name = parse_options_header(bytes(self._value))[1].get(b"name", b"")
            self.parts[-1].name = name.decode("utf-8", "replace")
        self._field.clear()
        self._value.clear()

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += data[start:end]

    def _on_end(self) -> None:
        self.ended = True


def _too_large(most: int) -> Refusal:
    return Refusal(
        "too_large",
        f"a request must be of at most {most:,} bytes",
        "this one is larger",
        "Send a smaller file, or fewer rows.",
        {"Connection": "close"},
    )


def _malformed(received: str) -> Refusal:
    return Refusal(
        "malformed",
        "a form must be multipart/form-data, whole and with its boundary",
        received[:200],
        f"Let a library write it: curl -F {FIELD}=@photo.jpg ...",
    )
