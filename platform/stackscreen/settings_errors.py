"""What is wrong with the settings, in one sentence: the key, the place, what is allowed, and the next step."""

import difflib
import os
import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from schema.errors import StackscreenError
from stackscreen.settings import CONFIG_VARIABLE, ENV_DELIMITER, ENV_PREFIX, Settings, Unit, config_file
from stackscreen.settings_report import masked, origins

# Read by other parts than the settings: the tests' data folder, the mark on supervised processes.
_OTHER_VARIABLES = (CONFIG_VARIABLE, f"{ENV_PREFIX}TEST_DATA")


class SettingsError(StackscreenError):
    """A setting that cannot be used."""


def setting_keys() -> dict[str, tuple[type[BaseModel], str]]:
    """Every dotted key, with the model and the field that define it."""
    return dict(_keys(Settings))


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, tuple[type[BaseModel], str]]]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _keys(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", (model, name)


def check_environment_names() -> None:
    """Refuse a `STACKSCREEN_...` variable that no setting has: a misspelt one would be silently without effect."""
    known = {key.replace(".", ENV_DELIMITER) for key in setting_keys()} | set(Settings.model_fields)
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(ENV_PREFIX).lower()
        if not variable.upper().startswith(ENV_PREFIX) or variable in _OTHER_VARIABLES or name in known:
            continue
        raise _unknown(name.replace(ENV_DELIMITER, "."), f"the environment variable {variable}")


def check_file() -> None:
    """Refuse a settings file that is not there, not readable or not TOML."""
    path = config_file()
    if path is None:
        return
    try:
        with path.open("rb") as file:
            tomllib.load(file)
    except FileNotFoundError as error:
        raise SettingsError(
            f"{CONFIG_VARIABLE} names {path}, which does not exist.", hint=f"Create it or unset {CONFIG_VARIABLE}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from error


def explain(error: ValueError) -> SettingsError:
    """The first thing pydantic found wrong, as a sentence."""
    if not isinstance(error, ValidationError):
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        return SettingsError(
            f"The environment variable {ENV_PREFIX}{name.upper()} is not valid JSON.",
            hint=f"Give a JSON object, or set single values as {ENV_PREFIX}{name.upper()}{ENV_DELIMITER}....",
        )
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if not key:
        return SettingsError(f"{_plain(first['msg'])}.", hint="`stackscreen settings` shows each value's origin.")
    places = origins()
    below = (place for name, place in places.items() if name.startswith(f"{key}."))
    origin = places.get(key) or next(below, "an argument")
    if first["type"] == "extra_forbidden":
        return _unknown(key, origin)
    return SettingsError(
        f"{key} = {_shown(key, first['input'])} ({origin}) is not allowed: it must be {_allowed(key, first)}."
    )


def _unknown(key: str, origin: str) -> SettingsError:
    near = difflib.get_close_matches(key, setting_keys(), n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]}?" if near else "`stackscreen settings` lists the settings there are."
    return SettingsError(f"{key} ({origin}) is not a setting.", hint=hint)


def _shown(key: str, value: Any) -> str:
    return repr(masked(value)) if key.endswith("_url") and isinstance(value, str) else repr(value)


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")


def _allowed(key: str, problem: Any) -> str:
    """What the field accepts, in words: its type, its limits, its unit."""
    if problem["type"] == "value_error":
        return _plain(problem["msg"])
    model, name = setting_keys().get(key, (None, ""))
    if model is None:
        return "a table of settings" if key in Settings.model_fields else _plain(problem["msg"])
    field = model.model_fields[name]
    kinds: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    words = [kinds.get(field.annotation, "a path" if key == "data_dir" else "text")]
    signs = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most", "pattern": "of the form"}
    for limit in field.metadata:
        given = ((sign, getattr(limit, name, None)) for name, sign in signs.items())
        words += [f"{sign} {value}" for sign, value in given if value is not None]
    units = [item.symbol for item in field.metadata if isinstance(item, Unit) and item.symbol != "1"]
    return ", ".join(words) + (f" (in {units[0]})" if units else "")
