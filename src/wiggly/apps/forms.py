"""The page for a table: a form with a field for each column, and what the model says of such a row.

In: a predictor of rows. Out: Gradio components: choices for categories, numbers with their range in training;
every field may be left open. Read next: `page.py`, which serves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from types import ModuleType
from typing import Any, cast

from wiggly.apps.model import PageModel
from wiggly.apps.words import alert, foot, head, names_of, numbers_html, unsure_line
from wiggly.bundle.parts import CategoryField, NumberField, TableInput
from wiggly.bundle.replies import single
from wiggly.bundle.session.columns import vocab_of
from wiggly.bundle.session.rows import read_json_rows
from wiggly.data.vocab import MISSING, Vocab
from wiggly.errors import WigglyError
from wiggly.records import Prediction

__all__ = ["Field", "fields_of", "form_page"]

TOP = 5  # label bars
MOST_CHOICES = 2_000  # more are typed in
OPEN = "(not known)"
EXACT = 2**53  # larger whole numbers are rounded in browsers (ECMA-262, 21.1.2.8)


@dataclass(frozen=True)
class Field:
    """A field of the form.

    Attributes:
        name: Of the column.
        make: Makes the Gradio component, with this value.
        start: What it shows at first.
        shown: From a value of the column to what the component shows.
        read: From what the component gives back to a value of the column.
        note: From a value to what a visitor should know of it; empty for nothing.
    """

    name: str
    make: Callable[[ModuleType, Any], Any]
    start: Any
    shown: Callable[[Any], Any]
    read: Callable[[Any], Any]
    note: Callable[[Any], str]


def form_page(predictor: PageModel, gradio: ModuleType) -> None:
    """Fills the page that is being built."""
    fields = fields_of(predictor)
    gradio.HTML(head(predictor, "rows"), elem_id="head", padding=False)
    with gradio.Row(elem_id="form"):
        inputs = [field.make(gradio, field.start) for field in fields]
    ask = gradio.Button("Ask the model", variant="primary", elem_id="ask")
    notice = gradio.HTML(visible=False, elem_id="notice", padding=False)
    answer, show = _answer(predictor, gradio)
    ask.click(_asked(predictor, gradio, fields, show), inputs, [answer, notice], api_name="predict")
    examples = [_shown(fields, read_json_rows(example.content)[0]) for example in predictor.examples]
    if examples:
        gradio.Examples(examples, inputs, label="Rows it had not trained on", cache_examples=False)
    privacy = "What is filled in goes to the machine that serves this page, and is not kept there."
    gradio.HTML(foot(predictor, "", privacy), elem_id="foot", padding=False)


def fields_of(predictor: PageModel) -> list[Field]:
    """A field for each column that the model looks at.

    Args:
        predictor: Of rows.
    """
    table = cast("TableInput", predictor.manifest.inputs[0])
    first = read_json_rows(predictor.examples[0].content)[0] if predictor.examples else {}
    return [
        *[_category(c, first.get(c.name)) for c in table.categories if c.flag_of is None],
        *[_number(column) for column in table.numbers],
    ]


def _asked(
    predictor: PageModel, gradio: ModuleType, fields: list[Field], show: Callable[[Prediction], Any]
) -> Callable[..., tuple[Any, Any]]:
    def predict(*given: Any) -> tuple[Any, Any]:
        """What the model says of a row, and what to know about its fields."""
        try:
            row = {field.name: field.read(value) for field, value in zip(fields, given, strict=True)}
            found = predictor.predict(row)
            said = show(found)
        except (WigglyError, ValueError) as error:
            reason = f"{error.rule}: {error.received}" if isinstance(error, WigglyError) else str(error)
            return None, gradio.HTML(alert(escape(reason)), visible=True)
        doubt = unsure_line(predictor.manifest.outputs, found)
        notes = [doubt] if doubt else []
        notes += [note for field in fields if (note := field.note(row[field.name]))]
        told = alert("<br>".join(map(escape, notes)))
        return said, gradio.HTML(told, visible=True) if notes else gradio.HTML(visible=False)

    return predict


def _answer(predictor: PageModel, gradio: ModuleType) -> tuple[Any, Callable[[Prediction], Any]]:
    outputs: tuple[Any, ...] = predictor.manifest.outputs
    output = outputs[0]
    if len(outputs) > 1 or output.kind == "numbers":
        page = gradio.HTML(label="The model says", show_label=True, elem_id="answer", container=True)
        return page, lambda found: _answers_html(outputs, found)
    names = names_of(predictor.vocab)
    what = f"The model says: {output.name}" if output.name else "The model says"
    bars = gradio.Label(label=what, num_top_classes=TOP, elem_id="answer")
    return bars, lambda found: dict(zip(names, found.probs.tolist(), strict=True))


def _answers_html(outputs: tuple[Any, ...], found: Prediction) -> str:
    """Numbers, and the likeliest labels beside them where there are several targets."""
    told: list[str] = []
    for output, one in zip(outputs, [found] if len(outputs) == 1 else single(found), strict=True):
        if output.kind == "numbers":
            told.append(numbers_html(output.names, one.probs.flatten().tolist(), output.low, output.high))
            continue
        listed = one.decoded if isinstance(one.decoded, list) else [one.decoded]
        label = ", ".join(str(label) for label in cast("list[Any]", listed)) or "none"
        sure = f", {float(one.probs.max()):.0%} sure" if output.kind == "category" else ""
        told.append(f"<p><strong>{escape(label)}</strong> <span>{escape(output.name)}{sure}</span></p>")
    return "".join(told)


def _shown(fields: list[Field], row: Mapping[str, Any]) -> list[Any]:
    return [field.shown(row.get(field.name)) for field in fields]


# ---- one field for each kind of column ----


def _category(column: CategoryField, first: Any) -> Field:
    vocab = vocab_of(column)
    values: list[Any] = list(vocab)[1:]
    if len(values) > MOST_CHOICES:
        return _typed_category(column.name, vocab, first)
    texts = [OPEN, *names_of(values)]

    def make(gradio: ModuleType, start: Any) -> Any:
        return gradio.Dropdown(texts, value=start, label=column.name, min_width=200)

    def shown(value: Any) -> str:
        return texts[vocab.o2i.get(value, 0)] if value is not None else OPEN

    def read(text: Any) -> Any:
        place = texts.index(text) if text in texts else 0
        return values[place - 1] if place else None

    return Field(column.name, make, shown(first), shown, read, lambda value: "")


def _typed_category(name: str, vocab: Vocab, first: Any) -> Field:
    """Too many values to choose among: the text of one is typed in."""
    by_text = {str(value): value for value in vocab if value != MISSING}

    def make(gradio: ModuleType, start: Any) -> Any:
        info = f"one of {len(by_text):,} values; open: {OPEN}"
        return gradio.Textbox(start, label=name, info=info, min_width=200)

    def read(text: Any) -> Any:
        typed = str(text or "").strip()
        return by_text.get(typed, typed) if typed else None

    def note(value: Any) -> str:
        unknown = value is not None and value not in vocab.o2i
        return f"{name}: “{value}” was not in training" if unknown else ""

    return Field(
        name, make, "" if first is None else str(first), lambda v: "" if v is None else str(v), read, note
    )


def _number(column: NumberField) -> Field:
    if column.kind == "boolean":
        return _truth(column)
    if column.kind == "date":
        return _date(column)
    if column.kind == "integer" and max(abs(column.low), abs(column.high)) > EXACT:
        return _huge(column)
    unit = " (seconds)" if column.kind == "duration" else ""
    whole = column.kind == "integer"

    def make(gradio: ModuleType, start: Any) -> Any:
        info = f"{_short(column.low)} to {_short(column.high)} in training"
        precision = 0 if whole else None
        label = f"{column.name}{unit}"
        return gradio.Number(start, label=label, info=info, precision=precision, min_width=200)

    def shown(value: Any) -> Any:
        seconds = value.total_seconds() if hasattr(value, "total_seconds") else value
        return None if seconds is None else (int(seconds) if whole else float(seconds))

    def note(value: Any) -> str:
        if value is None or column.low <= value <= column.high:
            return ""
        span = f"{_short(column.low)} to {_short(column.high)}"
        return f"{column.name}: {_short(value)} is outside what it has seen, {span}"

    return Field(column.name, make, shown(column.fill), shown, lambda value: value, note)


def _truth(column: NumberField) -> Field:
    words = {"yes": True, "no": False}

    def make(gradio: ModuleType, start: Any) -> Any:
        return gradio.Dropdown([OPEN, *words], value=start, label=column.name, min_width=200)

    def shown(value: Any) -> str:
        return OPEN if value is None else ("yes" if value else "no")

    return Field(column.name, make, shown(bool(column.fill)), shown, words.get, lambda value: "")


def _huge(column: NumberField) -> Field:
    """Whole numbers that only text can hold."""

    def make(gradio: ModuleType, start: Any) -> Any:
        info = f"{_short(column.low)} to {_short(column.high)} in training"
        return gradio.Textbox(start, label=column.name, info=info, min_width=200)

    def shown(value: Any) -> str:
        return "" if value is None else str(int(value))

    def read(text: Any) -> Any:
        typed = str(text or "").replace(",", "").strip()
        return int(typed) if typed else None

    return Field(column.name, make, shown(column.fill), shown, read, lambda value: "")


def _date(column: NumberField) -> Field:
    def text_of(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="seconds")

    low, high = text_of(column.low), text_of(column.high)

    def make(gradio: ModuleType, start: Any) -> Any:
        info = f"{low[:10]} to {high[:10]} in training; as 2024-02-29 or 2024-02-29T12:30:00"
        return gradio.Textbox(start, label=column.name, info=info, min_width=200)

    def shown(value: Any) -> str:
        return "" if value is None else value.isoformat()

    def read(text: Any) -> Any:
        typed = str(text or "").strip()
        return datetime.fromisoformat(typed) if typed else None

    def note(value: Any) -> str:
        inside = value is None or low <= value.replace(tzinfo=None).isoformat() <= high
        return "" if inside else f"{column.name}: outside what it has seen, {low[:10]} to {high[:10]}"

    return Field(column.name, make, text_of(column.fill), shown, read, note)


def _short(number: float) -> str:
    return f"{number:,.10g}"
