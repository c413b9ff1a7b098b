"""What a page says when there is nothing to show, or something is wrong."""

from __future__ import annotations

from dash import html

from schema.errors import StackscreenError


def notice(title: str, text: str, commands: tuple[str, ...] = (), *, kind: str = "info") -> html.Section:
    """A quiet box with a title, a sentence and the commands that help."""
    return html.Section(
        [
            html.H2(title),
            html.P(text),
            html.Pre("\n".join(commands), className="commands") if commands else None,
        ],
        className=f"notice notice-{kind}",
        role="status",
    )


def error_notice(error: StackscreenError) -> html.Section:
    """An error as a person needs it: what is wrong, then the next step."""
    return html.Section([html.H2(error.message), html.P(error.hint)], className="notice notice-error", role="alert")


def nothing_published() -> html.Section:
    """The first thing that a newcomer may see."""
    return notice(
        "No candidates yet",
        "Candidates appear here as soon as a screening run has been published. Load the starter set and screen it, or "
        "import your own databases first:",
        ("stackscreen up", "stackscreen import c2db path/to/c2db.db", "stackscreen screen"),
    )


def starter_banner() -> html.Div:
    """Says what the built-in values are good for."""
    return html.Div(
        [
            html.B("Starter data: "),
            "approximate literature values, for trying out. Import C2DB or your own data before you draw conclusions.",
        ],
        className="starter-banner",
        role="note",
    )
