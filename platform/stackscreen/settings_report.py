"""Each setting with its value, its unit and where the value came from: what `stackscreen settings` shows."""

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_settings import EnvSettingsSource

from stackscreen.settings import ENV_DELIMITER, ENV_PREFIX, Settings, Unit, config_file


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One setting as a person reads it; passwords are masked in `value`."""

    key: str
    value: str
    unit: str
    origin: str
    description: str


def masked(text: str) -> str:
    """The same text with the password of a URL in it replaced by `***` (up to the last @: passwords may hold one)."""
    text = re.sub(r"(?P<start>[a-z+]+://[^:@/\s]*):\S*@", r"\g<start>:***@", text)
    return re.sub(r"(?P<start>[?&]password=)[^&\s]+", r"\g<start>***", text)


def origins() -> dict[str, str]:
    """For each dotted key that is set anywhere, the place that wins: an environment variable or the file."""
    found: dict[str, str] = {}
    path = config_file()
    if path is not None and path.is_file():
        with path.open("rb") as file:
            found.update(dict.fromkeys(_flat(tomllib.load(file)), f"file {path}"))
    variables = {name.upper() for name in os.environ}
    for key in _flat(EnvSettingsSource(Settings)()):
        whole = f"{ENV_PREFIX}{key.replace('.', ENV_DELIMITER).upper()}"
        group = f"{ENV_PREFIX}{key.split('.', maxsplit=1)[0].upper()}"
        found[key] = f"env {whole if whole in variables else group}"
    return found


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def report(settings: Settings) -> list[SettingLine]:
    """Every setting, in the order of the models."""
    found = origins()
    return [
        SettingLine(line.key, line.value, line.unit, found.get(line.key, "default"), line.description)
        for line in _lines(settings)
    ]


def _lines(model: BaseModel, prefix: str = "") -> Iterator[SettingLine]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _lines(value, f"{prefix}{name}.")
            continue
        units = [item.symbol for item in field.metadata if isinstance(item, Unit)]
        shown = "(embedded)" if value is None else masked(str(value))
        yield SettingLine(f"{prefix}{name}", shown, "".join(units), "default", field.description or "")
