"""The examples of a documentation page, so that a test can run them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"

_BLOCK = re.compile(r"^```\w+ (?P<name>\S+)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(page: str) -> dict[str, str]:
    """Contents of the page's named code blocks, by their names."""
    return {match["name"]: match["content"] for match in _BLOCK.finditer((DOCS / page).read_text(encoding="utf-8"))}
