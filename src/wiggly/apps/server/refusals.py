"""Why a request is not answered, in the house's three parts and with a status that programs understand.

In: a `Refusal`, or an error of wiggly. Out: `{"error": {"code", "rule", "received", "fix"}}`. Read next:
`routes.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from wiggly.errors import ItemError, WigglyError

__all__ = ["CODES", "GONE", "Refusal", "answer", "as_refusal"]

#: Status of a request whose client hung up; nobody reads it, but it is counted (nginx's number).
GONE = 499

#: Every code, and the status it comes with.
CODES: dict[str, int] = {
    "malformed": 400,
    "other_site": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "slow_upload": 408,
    "too_large": 413,
    "too_many_pixels": 413,
    "unsupported_type": 415,
    "wrong_input": 422,
    "unknown_label": 422,
    "unreadable": 422,
    "no_answer": 422,
    "url_refused": 422,
    "url_failed": 422,
    "too_often": 429,
    "client_gone": GONE,
    "internal": 500,
    "busy": 503,
    "not_ready": 503,
    "timeout": 504,
    "full": 507,
}


class Refusal(WigglyError):
    """A request that is not answered.

    Args:
        code: One of `CODES`.
        rule: What has to hold.
        received: What came instead; goes to the client, so it names no path of this machine.
        fix: What to do.
        headers: To be sent with it.
    """

    def __init__(
        self, code: str, rule: str, received: str, fix: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(rule, received, fix)
        self.code, self.headers = code, dict(headers or {})

    @property
    def status(self) -> int:
        """Of the response."""
        return CODES[self.code]

    def response(self) -> Response:
        """What is sent."""
        parts = {"code": self.code, "rule": self.rule, "received": self.received, "fix": self.fix}
        return answer({"error": parts}, self.status, self.headers)


def as_refusal(error: WigglyError) -> Refusal:
    """An error of reading an item, as the client should see it.

    Example:
        >>> as_refusal(ItemError("an image given as bytes", "the file is empty")).received
        'the file is empty'
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ItemError):
        fix = "Send a JPEG, PNG or WebP file that a viewer can open."
        return Refusal("unreadable", "the file must be a picture that can be read", error.reason, fix)
    return Refusal("unreadable", error.rule, error.received, error.fix)


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON types as a response.

    Raises:
        ValueError: A number is not finite: JSON cannot say it.
    """
    # ASCII, because a text from outside may hold half a surrogate pair, which UTF-8 cannot say.
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Response(text, status, dict(headers or {}), "application/json")
