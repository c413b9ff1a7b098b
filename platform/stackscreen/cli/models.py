"""`stackscreen features`, `stackscreen train` and `stackscreen models`: what is predicted, and by what."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schema.vocabulary import InterfaceKind
from stackscreen.cli.console import step
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress
    from sqlalchemy import Engine

    from ml.registry import Shipped

DEFAULT_PROCESSES = min(4, os.cpu_count() or 1)

app = typer.Typer(
    no_args_is_help=True,
    help="Look at the trained models, and register those that come with Stackscreen.",
    epilog="Examples: `stackscreen models list`, `stackscreen models show gap`, "
    "`stackscreen models explain gap 1MoS2-1 1WSe2-1`.",
)


@contextmanager
def engine_of(settings: Settings) -> Iterator[Engine]:
    """An engine on the database, whose services are started if they are not running."""
    from schema.engine import make_engine
    from stackscreen.services import database_url, ensure_started

    ensure_started(settings, step)
    engine = make_engine(database_url(settings))
    try:
        yield engine
    finally:
        engine.dispose()


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def run_features(settings: Settings) -> int:
    """Have the workers compute what today's monolayers lack in features and embeddings, with a progress bar.

    Returns:
        How many rows were computed.

    Raises:
        NoFeatureProgressError: nobody is computing.
    """
    from stackscreen.tasks import features

    with engine_of(settings) as engine:
        work = features.plan(engine)
        if not work.total:
            step("  features and embeddings are up to date: nothing to do")
            return 0
        features.dispatch(work)
        with _progress() as bars:
            bar = bars.add_task("features and embeddings of monolayers", total=work.total)
            features.wait(engine, work, lambda done: bars.update(bar, completed=done))
    return work.total


def register_shipped(settings: Settings) -> list[int]:
    """Register the models that come with Stackscreen, and serve them where none that was trained here is served.

    A model that was trained here stays served; `stackscreen models register` goes back to the shipped ones.

    Returns:
        The numbers of the versions.
    """
    return _register(settings, replace=False)


def _register(settings: Settings, *, replace: bool) -> list[int]:
    from ml import registry

    with engine_of(settings) as engine, engine.begin() as connection:
        own = set() if replace else registry.served_by_own_models(connection)
        return [
            registry.register(connection, model, serve=(model.target, model.domain) not in own)
            for model in registry.shipped()
        ]


@app.command("register")
def register() -> None:
    """Register the models that come with Stackscreen, and predict with them from now on."""
    numbers = _register(get_settings(), replace=True)
    step(f"{len(numbers)} shipped models are registered and served")


@app.command("list")
def list_models() -> None:
    """One line a model version: target, domain, kind, error on unseen materials beside the best baseline's."""
    from rich.console import Console
    from rich.table import Table

    from ml import listing

    table = Table("version", "target", "domain", "kind", "judged by", "error", "baseline's", "unit", "served")
    with engine_of(get_settings()) as engine, engine.connect() as connection:
        for entry in listing.entries(connection):
            table.add_row(
                str(entry.id),
                entry.target,
                entry.domain,
                entry.family,
                entry.split,
                entry.error,
                entry.baseline_error,
                entry.unit,
                "yes" if entry.served else "no",
            )
    Console().print(table)


@app.command("show")
def show(
    target: Annotated[str, typer.Argument(help="target, such as gap or gap/heterobilayer, or the number of a version")],
) -> None:
    """The model card of the served model of a target, or of a version, as Markdown."""
    from ml import listing
    from ml.cards import card_markdown

    with engine_of(get_settings()) as engine, engine.connect() as connection:
        content = listing.card_content(connection, target)
    typer.echo(card_markdown(content))


def promote(
    version: Annotated[int, typer.Argument(help="number of the version: see `stackscreen models list`", min=1)],
) -> None:
    """Predict with a version from now on, if it beats every calibrated baseline on materials that it had not seen.

    A version that does not is refused, and what is served stays. Example: `stackscreen promote 7`
    """
    from ml import registry

    with engine_of(get_settings()) as engine, engine.begin() as connection:
        why = registry.promote(connection, version)
    step(f"version {version} is served. {why}")


def features() -> None:
    """Compute the features and embeddings that the monolayers lack, on the workers."""
    run_features(get_settings())


def train(
    encoder: Annotated[bool, typer.Option("--encoder/--no-encoder", help="train the slab encoder as well")] = False,
    out: Annotated[Path | None, typer.Option(help="also write artefacts, cards and fold files to this folder")] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="predict with the new models from now on")] = True,
    device: Annotated[
        str, typer.Option(help="for the encoder: cpu, cuda, or auto for cuda where there is one")
    ] = "cpu",
    checkpoint: Annotated[
        Path | None, typer.Option(help="the encoder's training is kept here after every epoch, and resumed from here")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="draws of folds and seeds under the strict split")] = 1,
    processes: Annotated[int, typer.Option(min=1, max=64, help="models trained side by side")] = DEFAULT_PROCESSES,
) -> None:
    """Train the models on the computed interfaces of the database, judge them, and register them.

    One model a target and kind of interface that there are rows enough for. Where it does not beat its calibrated
    baseline on unseen materials, the baseline is what is registered. The same data give the same models: seeds, folds
    and the number of threads are fixed. Example: `stackscreen train --no-serve`, then `stackscreen promote VERSION`
    """
    from ml import registry, shelf

    with engine_of(get_settings()) as engine:
        # The encoder first: the graph halves of the pair models learn from what it makes of the layers.
        fresh = _train_encoder(engine, device, checkpoint) if encoder else None
        models = _train_pairs(engine, out, repeats, processes, fresh)
        models += [fresh] if fresh is not None else []
        with engine.begin() as connection:
            for model in models:
                number = registry.register(connection, model, serve=serve)
                what = f"{model.target} ({model.domain})"
                step(f"  {what}: version {number}, {model.family}, SHA-256 {model.card['digest'][:12]}")
        if out is not None:
            for model in models:
                step(f"  wrote {shelf.write(model, out / 'artefacts', out / 'models')}")


def _train_pairs(
    engine: Engine, out: Path | None, repeats: int, processes: int, fresh: Shipped | None
) -> list[Shipped]:
    from ml import class_training, embedding_store, shelf, splits, training
    from ml.interface_store import load_rows
    from ml.models.slab_encoder import from_bytes

    with _progress() as bars:
        bar = bars.add_task("reading interfaces", total=None)
        with engine.connect() as connection:
            rows = {one.source: one for kind in InterfaceKind for one in load_rows(connection, kind.value)}
            encoder = embedding_store.present_encoder(connection) if fresh is None else from_bytes(fresh.artefact)
        total = training.steps(rows, encoder, repeats=repeats) + class_training.steps(rows, repeats=repeats)
        bars.update(bar, total=total, description="training")

        def on_step(text: str) -> None:
            bars.update(bar, advance=1, description=text)

        trained = training.train(rows, encoder, repeats=repeats, processes=processes, on_step=on_step)
        classes = class_training.train(rows, repeats=repeats, on_step=on_step)
    for one in rows.values():
        for reason, count in sorted(one.left_out.items()):
            step(f"  {one.source}: left out {count}: {reason}")
        if out is not None:
            splits.write_all(out / "folds" / one.source, one)
    return [*map(shelf.as_shipped, trained), *map(shelf.as_shipped, classes)]


def _train_encoder(engine: Engine, device: str, checkpoint: Path | None) -> Shipped:
    from ml import encoder_training, feature_store
    from ml.models.encoder_fit import EPOCHS

    with _progress() as bars:
        bar = bars.add_task("slab encoder: reading monolayers", total=None)
        with engine.connect() as connection:
            data = encoder_training.collect(feature_store.load_named_layers(connection))
        bars.update(bar, total=EPOCHS, description="slab encoder: epochs")
        return encoder_training.train_encoder(
            data,
            device=device,
            checkpoint=checkpoint,
            on_epoch=lambda epoch, _loss: bars.update(bar, completed=epoch + 1),
        )
