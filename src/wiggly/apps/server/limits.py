"""What a stranger may ask of a server: bytes, pixels, rows, time, and how many may wait.

In: nothing. Out: `Limits`, frozen. Read next: `body.py` and `inputs.py`, which hold them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from wiggly.errors import ArgumentError

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server; all must be positive, but `batch_wait`, which may be 0.

    Attributes:
        max_bytes: Of a picture's file; a 50-megapixel camera's JPEG has about 25 MiB.
        max_pixels: Of a picture, as its header says: nothing larger is decoded.
        max_free_pixels: The same for models that take pictures in whatever size, whose network then sees them
            all.
        max_row_bytes: Of a request with rows.
        max_rows: In one request.
        max_columns: Of a row.
        max_text: Characters of a cell or of a column's name.
        timeout: Seconds for a request, and as many for its body to arrive.
        queue: Requests in work or waiting; more are told to come again.
        batch: Items that go through the model together. On two cores 4 are as good as any other number for
            ONNX Runtime; PyTorch answers some 14 % more with 8, many clients given (`benchmarks/serve.py`).
        batch_wait: Milliseconds that a batch waits for others that are just being read.
        max_collected: Bytes of all corrections together, where a server collects them.
        corrections_per_minute: How many of them are taken, whoever sends them.

    Raises:
        ArgumentError: One is out of range.

    Example:
        >>> Limits(queue=0)
        Traceback (most recent call last):
        ...
        wiggly.errors.ArgumentError: `queue` must be above 0; it is 0.
        Pass a positive number, or leave it out: the default is 64.
    """

    max_bytes: int = 32 * 2**20
    max_pixels: int = 64_000_000
    max_free_pixels: int = 4_000_000
    max_row_bytes: int = 4 * 2**20
    max_rows: int = 1_000
    max_columns: int = 2_000
    max_text: int = 10_000
    timeout: float = 30.0
    queue: int = 64
    batch: int = 4
    batch_wait: float = 4.0
    max_collected: int = 2**30
    corrections_per_minute: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 or (field.name == "batch_wait" and value == 0)):
                raise ArgumentError(
                    f"`{field.name}` must be above 0",
                    f"it is {value}",
                    f"Pass a positive number, or leave it out: the default is {field.default}.",
                )
