"""Rows of a table as the input of a bundle: whole columns at once, by the encoder that training fitted.

In: a `TableInput` or `PairInput`, or a learner. Out: `cats` int64 `(n, k)` and `conts` float32 `(n, m)`; for
pairs of a user and an item the codes alone. Read next: `../tabular/encoder.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import narwhals as nw
import torch
from torch import Tensor, nn

from wiggly.bundle.parts import Input, PairInput, TableInput
from wiggly.bundle.readers import ChosenExample, Reader, dealt, spread
from wiggly.bundle.schema import from_json, to_json
from wiggly.data.vocab import MISSING, is_missing, plain_value
from wiggly.errors import ArgumentError, BundleError, DataError, StorageError
from wiggly.tabular.encoder import Encoded, TableEncoder
from wiggly.tabular.files import read_csv
from wiggly.tabular.packing import pack, unpack
from wiggly.tabular.reading import Frame, as_frame, rows_as_frame
from wiggly.tabular.surprises import Surprises

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["PairReader", "RowReader", "own_rows", "read_rows"]

LOOKED_AT = 1_000  # validation rows among which worked examples are chosen


class RowReader(Reader):
    """Rows, tables, and their files; see `Reader`.

    Attributes:
        encoder: What training knew of the columns.
        surprises: What the rows that were encoded last hold that the training rows did not.
    """

    batch_size = 4096

    def __init__(self, described: TableInput, name: str) -> None:
        self.encoder = TableEncoder.from_config(to_json(described))
        self.surprises = Surprises()

    @classmethod
    def describe(cls, learn: Learner) -> Input:
        block: Any = learn.dls.input_blocks[0]
        return from_json(TableInput, {"kind": "table", **block.encoder.config()})

    @classmethod
    def choose(cls, learn: Learner, n: int, by_class: bool) -> Iterator[ChosenExample]:
        dls: Any = learn.dls
        looked = dls.looked_at(dls.valid, LOOKED_AT)
        codes, target = looked.inputs[0].cpu(), looked.targets[0].cpu()
        conts = looked.inputs[1].cpu() if len(looked.inputs) > 1 else torch.zeros((len(codes), 0))
        places = _some_of_each(target, n) if by_class else spread(len(codes), n)
        index = torch.tensor(places, dtype=torch.int64)
        rows = own_rows(dls, [looked.positions[place] for place in places])
        if rows is None:
            rows = _rows_of(as_frame(dls.input_blocks[0].encoder.decode(codes[index], conts[index])))
        for row, place in zip(rows, places, strict=True):
            content = json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
            parts = zip(dls.target_blocks, looked.targets, strict=True)
            actual = [block.decode(encoded[place].cpu()) for block, encoded in parts]
            yield ChosenExample(".json", content, actual[0] if len(actual) == 1 else actual)

    def network(self, config: Mapping[str, Any], room: int) -> nn.Module:
        from wiggly.tabular.models import build_model

        described: Mapping[str, Any] = config["table"]
        rows = [len(column.vocab) for column in self.encoder.categories]
        _check_columns([n for n, _ in described["emb_szs"]], rows, "values of the categories")
        _check_columns([described["n_cont"]], [len(self.encoder.numbers)], "numbers")
        _check_room(_parameters(described["emb_szs"], described["layers"]), room)
        return build_model(described)

    def items(self, items: Any) -> Any:
        if isinstance(items, list | tuple) and not items:
            return []
        return self.frame(items)

    def frame(self, rows: Any) -> Frame:
        """Rows as a table.

        Args:
            rows: One row or several: a mapping, a pandas row, JSON as bytes, or a list of these; a pandas,
                polars or pyarrow table; the path of a .csv, .parquet or .json file.

        Raises:
            StorageError: The file is not there.
            DataError: They are no rows.
        """
        if isinstance(rows, str | Path):
            rows = self._file(Path(rows))
        if isinstance(rows, bytes | bytearray):
            rows = read_rows(bytes(rows))
        if isinstance(rows, list | tuple):
            given = cast("Sequence[Any]", rows)
            rows = [row for part in given for row in (read_rows(part) if isinstance(part, bytes) else [part])]
        return self._with_dates(rows_as_frame(rows))

    def _file(self, path: Path) -> Any:
        if not path.exists():
            raise StorageError("the file of a table must exist", f"there is no '{path}'", "Check the path.")
        if path.suffix == ".json":
            return path.read_bytes()
        return self._csv(path) if path.suffix not in (".parquet", ".pq") else as_frame(path).to_native()

    def _csv(self, path: Path) -> Any:
        """A CSV file, categories of texts as texts: a column of them may happen to hold but digits."""
        texts = [
            column.name
            for column in self.encoder.categories
            if len(column.vocab) > 1 and all(isinstance(value, str) for value in column.vocab)
        ]
        return read_csv(path, texts=texts)

    def _with_dates(self, frame: Frame) -> Frame:
        """Texts in columns of dates, as JSON and CSV have them, read as dates."""
        for column in self.encoder.numbers:
            if column.kind != "date" or column.name not in frame.columns:
                continue
            if not isinstance(frame[column.name].dtype, nw.String | nw.Object):
                continue
            try:
                frame = frame.with_columns(nw.col(column.name).cast(nw.String).str.to_datetime())
            except Exception as error:  # each library has errors of its own for texts that are no dates
                raise DataError(
                    f"column {column.name!r} must hold dates",
                    f"one cannot be read: {error}",
                    "Write them as 2024-02-29 or 2024-02-29T12:30:00.",
                ) from error
        return frame

    def encode(self, rows: Any) -> Encoded:
        """Rows as tensors."""
        encoded = self.encoder.encode(rows)
        self.surprises = encoded.surprises
        return encoded

    def tensors(self, encoded: Encoded) -> tuple[Tensor, ...]:
        """The network's inputs."""
        return encoded.cats, encoded.conts

    def batches(self, items: Any, bs: int) -> Iterator[tuple[Tensor, ...]]:
        whole = self.tensors(self.encode(items))
        for first in range(0, len(whole[0]), bs):
            yield tuple(part[first : first + bs] for part in whole)

    def one(self, item: Any) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        frame = self.frame(item)
        if len(frame) != 1:
            raise ArgumentError(
                "`predict` takes one row", f"there are {len(frame)}", "Pass one, or use `predict_batch`."
            )
        return self.tensors(self.encode(frame)), ()

    def item_of(self, content: bytes) -> Any:
        return read_rows(content)[0]


class PairReader(RowReader):
    """A user and an item, of whom a rating is predicted; see `Reader`."""

    task = "recommendation"

    def __init__(self, described: PairInput, name: str) -> None:
        fields = TableInput("table", (described.user, described.item), ())
        super().__init__(fields, name)

    @classmethod
    def describe(cls, learn: Learner) -> Input:
        table = super().describe(learn)
        assert isinstance(table, TableInput)
        user, item = table.categories
        return PairInput("pairs", user, item)

    def network(self, config: Mapping[str, Any], room: int) -> nn.Module:
        from wiggly.tabular.collab.models import build_recommender

        users, items = (column.vocab for column in self.encoder.categories)
        sizes: list[Any] = [(len(users) + len(items), config.get("n_factors", 0)), *config.get("emb_szs", ())]
        _check_room(_parameters(sizes, config.get("layers", ())), room)
        try:
            return build_recommender(config).set_labels(users, items)
        except ArgumentError as error:
            raise BundleError(error.rule, error.received, "Export the model again.") from error

    def tensors(self, encoded: Encoded) -> tuple[Tensor, ...]:
        return (encoded.cats,)


def read_rows(content: bytes) -> list[Any]:
    """The rows in a JSON text: one object, or a list of them.

    Raises:
        DataError: It is something else.

    Example:
        >>> read_rows(b'{"age": 31, "since": {"date": "2024-02-29T00:00:00"}}')
        [{'age': 31, 'since': datetime.datetime(2024, 2, 29, 0, 0)}]
    """
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _no_rows(str(error)) from error
    rows: list[Any] = cast("list[Any]", found) if isinstance(found, list) else [found]
    for row in rows:
        if not isinstance(row, dict):
            raise _no_rows(f"it holds {row!r:.60}")
    return [{name: unpack(value) for name, value in row.items()} for row in rows]


def _no_rows(received: str) -> DataError:
    return DataError(
        "rows as JSON must be an object, or a list of objects, from column to value",
        received,
        'Pass e.g. {"age": 31, "city": "Rome"}.',
    )


def _check_columns(found: Sequence[Any], wanted: Sequence[int], what: str) -> None:
    if list(found) != list(wanted):
        raise BundleError(
            f"the network of a bundle must be made for its {what}",
            f"it is for {list(found)!r:.60} and they are {list(wanted)!r:.60}",
            "Get an unchanged copy of the bundle, or export the model again.",
        )


def _parameters(sizes: Sequence[Any], layers: Sequence[Any]) -> int:
    """At least so many parameters has a network with embeddings of these sizes and then these layers."""
    widths = [sum(int(width) for _, width in sizes), *map(int, layers)]
    return sum(int(n) * int(width) for n, width in sizes) + sum(a * b for a, b in pairwise(widths))


def _check_room(numbers: int, room: int) -> None:
    """Refuses a network whose parameters are more than the weights: making it could take all memory."""
    if numbers > room:
        raise BundleError(
            "the network of a bundle must be as large as its weights",
            f"it would have more than {numbers:,} parameters, and they take {room:,} bytes",
            "Get an unchanged copy of the bundle, or export the model again.",
        )


# ---- worked examples ----


def own_rows(dls: Any, positions: Sequence[int]) -> list[dict[str, Any]] | None:
    """Validation rows as the user's table has them; None where it is not in memory."""
    places = getattr(dls.valid.dataset, "rows", None)
    if places is None:
        return None
    frame = dls.table.frame[places[list(positions)].tolist()]
    return _rows_of(frame.select(dls.input_blocks[0].encoder.column_names))


def _rows_of(frame: Frame) -> list[dict[str, Any]]:
    columns = {name: _plain_column(frame[name]) for name in frame.columns}
    return [{name: values[row] for name, values in columns.items()} for row in range(len(frame))]


def _some_of_each(codes: Tensor, n: int) -> list[int]:
    return list(dealt([(codes == code).nonzero().flatten().tolist() for code in codes.unique()], n))


def _plain_column(column: nw.Series[Any]) -> list[Any]:
    """Cells as JSON; None where there is nothing."""
    cells = zip(column.to_list(), column.is_null().to_list(), strict=True)
    plain = [None if missing else plain_value(value) for value, missing in cells]
    return [None if is_missing(value) or value == MISSING else pack(value) for value in plain]
