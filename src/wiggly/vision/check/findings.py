"""What a check found, as plain data, and how it is shown: as text, as JSON, as a table in a notebook.

In: findings from the rules. Out: `DataCheck`. Read next: `../../interpret/data_check.py`, the same as a page.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal

from wiggly.errors import ArgumentError

__all__ = ["COPIES", "DataCheck", "Finding", "Severity"]

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
SCHEMA = 1  # of the JSON; a change that breaks its readers counts up
#: Kinds of findings about the same picture twice, which `spare("copies")` puts together.
COPIES = ("exact-across", "near-across", "exact-copies", "near-copies", "mirrored-across")
MEMBERS = 4  # of a group that are named
SHOWN = 3  # names shown of each finding; JSON and `items` have all


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: Short name, the same in every version: "unreadable", "exact-across", ...
        severity: "error": training stops, or a score is wrong; "warning": it costs pictures or accuracy;
            "note": worth knowing, nothing to mend.
        message: What it means, in one line.
        fix: What to do, in one line: a command or Python to paste where there is one.
        items: Names of the files or classes concerned.
        details: For each of `items` a few words (the reason, side and label); empty where there is nothing to
            say.
        groups: For copies and groups: which of `items`, by position, belong together.
        spare: Names that can be left out so that one copy of each remains.
    """

    kind: str
    severity: Severity
    message: str
    fix: str
    items: Sequence[str] = ()
    details: Sequence[str] = ()
    groups: Sequence[Sequence[int]] = ()
    spare: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "count": len(self.groups) or len(self.items),
            "message": self.message,
            "fix": self.fix,
            "items": list(self.items),
            "details": list(self.details),
            "groups": [list(group) for group in self.groups],
            "spare": list(self.spare),
        }

    def lines(self, most: int = SHOWN) -> list[str]:
        """The names, a line each: `cat/1.jpg (cut off)`; copies side by side; at most `most` lines."""
        if self.groups:
            return [self._together(group) for group in self.groups[:most]] + _more(len(self.groups) - most)
        return [self._told(k) for k in range(min(most, len(self.items)))] + _more(len(self.items) - most)

    def _together(self, group: Sequence[int]) -> str:
        shown = [self._told(position) for position in group[:MEMBERS]] + _more(len(group) - MEMBERS)
        return (", " if self.kind.startswith("group") else " = ").join(shown)

    def _told(self, position: int) -> str:
        detail = self.details[position] if self.details else ""
        return f"{self.items[position]} ({detail})" if detail else self.items[position]


def _more(n: int) -> list[str]:
    return [f"... and {n:,} more"] if n > 0 else []


@dataclass(frozen=True, repr=False)
class DataCheck:
    """The result of looking at every item once before training.

    Attributes:
        findings: What was found, errors first.
        root: The folder below which all files lie; names are relative to it.
        sides: Side of the split to number of items: `{"train": 80, "valid": 20}`; one side called "all" when
            there is no split.
        classes: Class to number of items; empty where items have no classes.
        seconds: How long it took.

    Example:
        >>> check = DataCheck([], "photos", {"train": 80, "valid": 20}, {"cat": 50, "dog": 50}, 0.5)
        >>> print(check)
        100 items in 'photos' (80 train, 20 valid), 2 classes, checked in 0.5 s: nothing found.
    """

    findings: Sequence[Finding]
    root: str = ""
    sides: Mapping[str, int] = field(default_factory=lambda: dict[str, int]())
    classes: Mapping[str, int] = field(default_factory=lambda: dict[str, int]())
    seconds: float = 0.0

    def __getitem__(self, kind: str) -> Finding:
        """The finding of a kind, e.g. `check["unreadable"]`.

        Raises:
            ArgumentError: There is none.
        """
        found = next((finding for finding in self.findings if finding.kind == kind), None)
        if found is None:
            kinds = [finding.kind for finding in self.findings]
            raise ArgumentError(
                "`kind` must be one that was found", f"{kind!r} is not in {kinds}", "Ask for one."
            )
        return found

    @property
    def ok(self) -> bool:
        """Whether nothing was found that is an error or a warning."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def errors(self) -> list[Finding]:
        """Findings that are errors."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def spare(self, kind: str) -> list[Path]:
        """The files that can be left out to mend a finding: for copies all but one of each, else all of them.

        Args:
            kind: That of a finding, or "copies" for all kinds of them; empty where there is none.
        """
        kinds = COPIES if kind == "copies" else (kind,)
        names = [name for finding in self.findings if finding.kind in kinds for name in finding.spare]
        return [Path(self.root, name) for name in dict.fromkeys(names)]

    @property
    def headline(self) -> str:
        """How many items were checked, and how many findings of each severity there are."""
        n = sum(self.sides.values())
        split = ", ".join(f"{count:,} {side}" for side, count in self.sides.items() if side != "all")
        where = f" in '{self.root}'" if self.root else ""
        classes = f", {len(self.classes):,} classes" if self.classes else ""
        counts = Counter(finding.severity for finding in self.findings)
        found = [f"{counts[s]} {s if counts[s] == 1 else s + 's'}" for s in SEVERITIES if counts[s]]
        return (
            f"{n:,} items{where}{f' ({split})' if split else ''}{classes}, "
            f"checked in {self.seconds:.1f} s: {', '.join(found) or 'nothing found'}."
        )

    def __repr__(self) -> str:
        return str(self)  # what a Python prompt shows for `dls.check()`

    def __str__(self) -> str:
        parts = [self.headline]
        for finding in self.findings:
            parts.append(f"\n{finding.severity.upper()} {finding.kind}: {finding.message}")
            parts += [f"    {line}" for line in finding.lines()]
            parts.append(f"  fix: {finding.fix}")
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        """The table that Jupyter shows."""
        rows = "".join(
            f"<tr><td>{finding.severity}</td><td style='text-align:left'><b>{escape(finding.kind)}</b><br>"
            f"{escape(finding.message)}<br><code>{escape(finding.fix)}</code></td>"
            f"<td style='text-align:left'>{'<br>'.join(escape(line) for line in finding.lines())}</td></tr>"
            for finding in self.findings
        )
        head = "<tr><th>severity</th><th>finding and fix</th><th>where</th></tr>"
        table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
        return f"<p>{escape(self.headline)}</p>{table}"

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON types; the keys stay the same while `schema` does."""
        return {
            "schema": SCHEMA,
            "root": self.root,
            "items": sum(self.sides.values()),
            "sides": dict(self.sides),
            "classes": dict(self.classes),
            "seconds": round(self.seconds, 2),
            "ok": self.ok,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The same as JSON text, also written to `path` when one is given."""
        # File names may hold bytes that are no text (surrogates): escapes are valid in every JSON reader.
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=True)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text
