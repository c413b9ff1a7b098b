"""`stackscreen quarantine`: what was set aside and why, and a person's decision to use it all the same."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import login_name, progress_bar, step
from stackscreen.cli.engine import open_engine
from stackscreen.settings import get_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from etl.release import Decided, Release

app = typer.Typer(
    no_args_is_help=True,
    help="Look at what was set aside at import and by which rule; use it in spite of the rule, or look at it again.",
    epilog="Example: `stackscreen quarantine list --source bidb`, then `stackscreen quarantine explain not_bound`.",
)

_WIDTH = 100

_Record = Annotated[int, typer.Argument(help="number of the record, from `quarantine list`")]
_Json = Annotated[bool, typer.Option("--json", help="print the report as JSON")]
_Source = Annotated[str | None, typer.Option(help="only this source, e.g. bidb")]
_Rule = Annotated[str | None, typer.Option(help="only this rule, e.g. not_2d")]
_Property = Annotated[
    str | None, typer.Option("--property", help="key of one doubted value; without it, the whole record")
]


class ReleaseCommandError(StackscreenError):
    """The options of `quarantine release` do not fit together."""


@contextmanager
def _engine() -> Iterator[Engine]:
    engine = open_engine(get_settings())
    try:
        yield engine
    finally:
        engine.dispose()


@app.command("list")
def list_(
    source: _Source = None,
    rule: _Rule = None,
    limit: Annotated[int, typer.Option(min=1, help="most entries")] = 50,
    as_json: _Json = False,
) -> None:
    """Counts by rule, then the quarantined records and the doubted properties themselves."""
    from etl.quarantine import count_by_rule, list_set_aside

    with _engine() as engine:
        counts = [c for c in count_by_rule(engine) if source in (None, c.source) and rule in (None, c.rule)]
        entries = list_set_aside(engine, source=source, rule=rule, limit=limit)
    if as_json:
        print(json.dumps({"rules": [c.as_dict() for c in counts], "entries": [e.as_dict() for e in entries]}))
        return
    for c in counts:
        numbers = f"{c.quarantined:>7,} records {c.flagged:>7,} properties {c.released:>7,} released"
        print(f"{c.source:<16} {c.rule:<24} {numbers}   {c.meaning}")
    if not counts:
        print("Nothing is set aside.")
    for e in entries:
        what = f" [{e.property_key}]" if e.property_key else ""
        print(
            f"{e.record:>8} {e.source} {e.external_id}{what}: {e.rule}{' (released)' if e.released else ''}: {e.detail}"
        )
    if counts:
        step(
            "A rule in words: `stackscreen quarantine explain RULE`; one record: `stackscreen quarantine show NUMBER`."
        )


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(help="name of the rule, from `quarantine list`")], as_json: _Json = False
) -> None:
    """What a rule looks at, from where on it speaks, why, an example from this database, and what to do."""
    from etl.quarantine import explain_rule, require_rule

    # A slip of the pen must not start servers first.
    require_rule(rule)
    with _engine() as engine:
        found = explain_rule(engine, rule)
    if as_json:
        print(json.dumps(found))
        return
    print(f"{rule}: {found['meaning']}")
    can = "Records and values can be released from it." if found["releasable"] else "It cannot be waived."
    for title, text in (
        ("Limit", found["threshold"]), ("Why", found["why"]), ("What to do", found["fix"]), ("Release", can),
    ):  # fmt: skip
        print(textwrap.fill(f"{title + ':':<12}{text}", _WIDTH, subsequent_indent=" " * 12))
    example = found["example"]
    if example is None:
        print("Example:    none in this database")
        return
    print(f"Example:    record {example['record']}, {example['source']} {example['external_id']}: {example['detail']}")
    print(f"            stackscreen quarantine show {example['record']}")


@app.command()
def show(record: _Record) -> None:
    """One record with its rule, the rule's sentence, its flags and releases and its raw content, as JSON."""
    from etl.quarantine import show_record

    with _engine() as engine:
        found = show_record(engine, record)
    print(json.dumps(found, indent=2, ensure_ascii=False))
    if found["next_step"]:
        step(found["next_step"])


@app.command()
def release(
    record: Annotated[int | None, typer.Argument(help="number of the record; or give --rule and --source")] = None,
    note: Annotated[str, typer.Option(help="why it is right to use it", show_default=False)] = "",
    property_key: _Property = None,
    also: Annotated[list[str] | None, typer.Option(help="a further rule that the record breaks")] = None,
    author: Annotated[str, typer.Option(help="who decides; the login name if not given", show_default=False)] = "",
    rule: Annotated[str | None, typer.Option(help="with --source: everything that this rule holds back")] = None,
    source: Annotated[str | None, typer.Option(help="with --rule: in this source")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="release many without asking again")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="as `quarantine withdraw-release`")] = False,
    as_json: _Json = False,
) -> None:
    """Use a record, or one doubted value of it, in spite of the rule; who decided and why stays on record.

    It lasts as long as the content of the record: a changed record is judged anew.
    """
    from etl.quarantine import require_rule
    from etl.release import Decided

    many = rule is not None or source is not None
    if (record is None) != many:
        raise ReleaseCommandError(
            "Say what to release: the number of a record, or a rule and a source.",
            hint="`stackscreen quarantine release 12 --note '...'`, or `--rule not_bound --source bidb --note '...'`.",
        )
    if undo and record is not None:
        withdraw_release(record, property_key, as_json)
        return
    if not note.strip():
        raise ReleaseCommandError("A release needs its reason.", hint="Add --note 'why it is right to use it'.")
    decided = Decided(author or login_name(), note)
    if record is None:
        if rule is None or source is None or property_key or also or undo:
            raise ReleaseCommandError(
                "Many are released by --rule and --source together, and by these alone.",
                hint="`stackscreen quarantine release --rule not_bound --source bidb --note '...'`.",
            )
        require_rule(rule)
        _release_many(decided, rule, source, yes=yes, as_json=as_json)
        return
    from etl.release import release as release_one

    for name in also or ():
        require_rule(name)
    with _engine() as engine:
        done = release_one(engine, record, decided, property_key=property_key, also=also or ())
    _print_release(done, as_json)


def _release_many(decided: Decided, rule: str, source: str, *, yes: bool, as_json: bool) -> None:
    from etl.release import count_releasable, release_many

    with _engine() as engine:
        records, values = count_releasable(engine, rule=rule, source=source)
        step(f"{rule} holds back {records:,} records and {values:,} values in {source}.")
        if not records and not values:
            raise ReleaseCommandError(
                "There is nothing to release.", hint="`stackscreen quarantine list` shows what is."
            )
        if not yes:
            raise ReleaseCommandError(
                "Nothing was released yet.", hint="Look at some of them first, then add --yes to release them all."
            )
        with progress_bar("released") as progress:
            done = release_many(engine, decided, rule=rule, source=source, progress=progress)
    if as_json:
        print(json.dumps(done.as_dict()))
        return
    print(f"released   {done.records:>9,} records {done.values:>9,} values")
    for cause, n in sorted(done.refused.items()):
        print(f"refused    {n:>9,} {cause}")
    if done.records:
        step("Next: `stackscreen dedupe`.")


@app.command("withdraw-release")
def withdraw_release(record: _Record, property_key: _Property = None, as_json: _Json = False) -> None:
    """Take a release back: the record is judged by the rules again."""
    from etl.release import withdraw

    with _engine() as engine:
        done = withdraw(engine, record, property_key=property_key)
    if as_json:
        print(json.dumps(done.as_dict()))
        return
    state = "is in use" if done.in_use else "is not in use"
    print(f"withdrawn  {done.source} {done.external_id}: {', '.join(done.rules)}; the record {state}")
    if done.values:
        print(f"           {done.values:,} values are not in use any more")
    if done.replaced is not None:
        print(f"           record {done.replaced} took its place again")
    if not done.in_use:
        step("Next: `stackscreen dedupe`.")


@app.command()
def recheck(
    rule: _Rule = None,
    source: _Source = None,
    accepted: Annotated[bool, typer.Option("--accepted", help="read records in use again instead")] = False,
    as_json: _Json = False,
) -> None:
    """Judge what is kept by the readers and rules of today, after an upgrade; nothing has to be imported for it.

    Quarantined records that pass are taken into use. With --accepted, records in use get the values, doubts and names
    that today's readers find in them.
    """
    if accepted:
        if rule is not None:
            raise ReleaseCommandError("Records in use broke no rule.", hint="Leave --rule out, or --accepted.")
        _rederive(source, as_json)
        return
    from etl.quarantine import require_rule
    from etl.recheck import recheck as judge_again

    if rule is not None:
        require_rule(rule)
    with _engine() as engine, progress_bar("quarantined records") as progress:
        done = judge_again(engine, rule=rule, source=source, progress=progress)
    if as_json:
        print(json.dumps(done.as_dict()))
        return
    print(f"looked at            {done.looked_at:>9,}")
    print(f"accepted now         {done.accepted:>9,}")
    print(f"overtaken            {done.overtaken:>9,}   a newer version is in use")
    for name, n in sorted(done.refused.items()):
        print(f"still refused        {n:>9,}   by {name}")
    if done.accepted:
        step("Next: `stackscreen dedupe`.")


def _rederive(source: str | None, as_json: bool) -> None:
    from etl.recheck import rederive

    with _engine() as engine, progress_bar("records in use") as progress:
        done = rederive(engine, source=source, progress=progress)
    if as_json:
        print(json.dumps(done.as_dict()))
        return
    print(f"looked at            {done.looked_at:>9,}")
    print(f"changed              {done.changed:>9,}")
    print(f"left: file needed    {done.incomplete:>9,}   they came with spectra, which are read from the file only")
    print(f"left: new structure  {done.restructured:>9,}   import their file again under a new label, or ignore")
    for name, n in sorted(done.refused.items()):
        print(f"left: refused now    {n:>9,}   by {name}")


def _print_release(done: Release, as_json: bool) -> None:
    if as_json:
        print(json.dumps(done.as_dict()))
        return
    what = f" [{done.property_key}]" if done.property_key else ""
    print(
        f"released   {done.source} {done.external_id}{what} from {', '.join(done.rules)}: {done.values:,} values in use"
    )
    if done.replaced is not None:
        print(f"           in place of record {done.replaced}")
    step(f"To take it back: `stackscreen quarantine withdraw-release {done.record}`.")
    if done.property_key is None:
        step("Next: `stackscreen dedupe`.")
