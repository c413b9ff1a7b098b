"""`stackscreen settings`: every setting, its value, and where the value came from."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from stackscreen.settings import get_settings


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="also say what each setting means")] = False,
) -> None:
    """Show each setting with its value and origin: environment, file or default. Passwords are masked.

    `screen.max_strain` is set by `max_strain` under `[screen]` in stackscreen.toml (of the current folder, or the
    file that STACKSCREEN_CONFIG names), or by STACKSCREEN_SCREEN__MAX_STRAIN, which wins.
    """
    from stackscreen.settings_report import report

    lines = report(get_settings())
    if as_json:
        print(json.dumps([asdict(line) for line in lines], indent=1, ensure_ascii=False))
        return
    for line in lines:
        unit = "" if line.unit == "1" else line.unit
        print(f"{line.key:<36}{f'{line.value} {unit}'.strip():<32}  {line.origin}")
        if explain:
            print(f"    {line.description}")
