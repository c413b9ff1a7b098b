"""`stackscreen status`: counts and states of everything."""

import json
from typing import Annotated, Any

import typer

from stackscreen.settings import get_settings


def status(
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Show services, queues, rows by state, screening runs and the models that are served. Starts nothing."""
    from stackscreen.status import system_status

    settings = get_settings()
    found = system_status(settings)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"data      {found['data_dir']}")
    for service in found["services"]:
        print(f"{service['name']:<10}{service['state']}  {service['detail']}".rstrip())
    queues = found["queues"]
    print("queues    " + (_numbers(queues) if queues is not None else "the broker does not answer"))
    database = found["database"]
    if database is None:
        embedded = settings.database_url is None
        step = "run `stackscreen services start`" if embedded else "check STACKSCREEN_DATABASE_URL"
        print(f"database  does not answer: {step}")
        return
    _print_database(database)


def _print_database(database: dict[str, Any]) -> None:
    newest = database["revision"] == database["head"]
    print(
        f"schema    {database['revision'] or 'empty'}"
        f"{'' if newest else ' (run `stackscreen db upgrade`)'}, {database['bytes'] / 1e6:,.0f} MB"
    )
    for name, counts in database["tables"].items():
        if counts["rows"]:
            print(f"  {name:<22}{counts['rows']:>12,}  {_numbers(counts.get('states', {}))}".rstrip())
    for run in database["runs"]:
        size = f"{run['n_pairs']:,} pairs, {run['n_matched'] or 0:,} matched, {run['n_candidates'] or 0:,} candidates"
        print(f"run {run['id']:<6}{run['state']}: {size}; blocks {_numbers(run['blocks'])}")
    for model in database["models"]:
        print(f"model     {model['target']} ({model['domain']}): {model['name']}, {model['family']}")


def _numbers(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())
