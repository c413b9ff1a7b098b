"""What every card of a model of pairs holds, of numbers and of classes, in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.report import Report
from ml.report_card import how_good


def card_page(
    content: Mapping[str, Any],
    plots: Mapping[str, str],
    *,
    meaning: str,
    about: str,
    what_it_does: Sequence[str],
    limits: str,
    unit: str = "",
    served: str = "",
    more_figures: Sequence[str] = (),
) -> str:
    """A card: head, what the model does, data, how good it is, where it stops being valid.

    Args:
        content, plots: as for `ml.cards.card_markdown`.
        meaning: of the target.
        about: what the target's values are.
        what_it_does: lines.
        limits: where it stops being valid.
        unit: of the target; empty for classes.
        served: whether and why it is served, if the head is to say so.
        more_figures: lines behind the evaluations.
    """
    card, data = content["card"], content["card"]["data"]
    left_out = "; ".join(f"{count} {reason}" for reason, count in data["left_out"].items())
    reports = [Report.from_json(report) for report in content.get("reports", [])]
    lines = [
        f"# {content['name']}: {meaning.rstrip('.')}",
        "",
        f"{about} Family `{content['family']}`, domain `{content['domain']}`.{served and f' {served}'}",
        "",
        f"Artefact SHA-256 `{card['digest']}`, training rows SHA-256 `{data['digest']}`.",
        "",
        "## What it does",
        "",
        *what_it_does,
        "",
        "## Data",
        "",
        f"{data['source']}. {data['rows']} rows of {data['materials']} materials, cleaned by: {data['cleaning_rule']}. "
        f"Left out: {left_out or 'none'}.",
        "",
        "## How good it is",
        "",
        *(how_good(reports, unit, plots) if reports else ["No evaluation of it is kept.", ""]),
        *more_figures,
        "## Where it stops being valid",
        "",
        limits,
        "",
    ]
    return "\n".join(lines)
