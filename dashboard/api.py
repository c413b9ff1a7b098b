"""The addresses behind the pages: JSON, CSV, CIF, POSCAR and extended XYZ of what they show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, request, stream_with_context
from sqlalchemy import Connection, Engine

from dashboard.address import OF, Subject, View
from schema.errors import StackscreenError
from stackscreen.query.candidates import MAX_PAGE, NoPublishedRunError, Run, published_run
from stackscreen.query.criteria import CriteriaError
from stackscreen.query.detail import Pair, UnknownPairError, pair
from stackscreen.query.export import pair_csv, rows_csv, scan_csv
from stackscreen.query.models import ModelPage, UnknownModelVersionError, model_page, served_models
from stackscreen.query.reading import DatabaseUnavailableError, QueryTooSlowError, reading
from stackscreen.query.stacks import stack_of
from stackscreen.scan.reader import LISTED, Reader
from stackscreen.scan.scanner import Found
from stackscreen.structure_files import FileFormat, write
from stackscreen.structures import Stack

_STATUS: dict[type[StackscreenError], int] = {
    CriteriaError: 400,
    UnknownPairError: 404,
    UnknownModelVersionError: 404,
    NoPublishedRunError: 404,
    DatabaseUnavailableError: 503,
    QueryTooSlowError: 503,
}
_OWN = ("limit", "offset", "after")
"""Parameters of a page of rows, beside those of the filter."""


def blueprint(engine: Engine, reader: Reader, page_size: int) -> Blueprint:
    """The routes under /api."""
    api = Blueprint("api", __name__, url_prefix="/api")

    def route(path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route whose errors are sentences with a fitting status."""

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            def answer(**arguments: str) -> Any:
                try:
                    return function(**arguments)
                except StackscreenError as error:
                    body = {"error": error.message, "hint": error.hint}
                    return jsonify(body), _STATUS.get(type(error), 422)

            return api.route(path)(answer)

        return decorate

    @route("/candidates.json")
    def candidates_json() -> Any:
        own, view = _read(Subject.CANDIDATES)
        limit, offset = _whole(own, "limit", page_size), _whole(own, "offset", 0)
        with reading(engine) as connection:
            run = published_run(connection)
            found = reader.page(
                connection, run, view.criteria, view.order, limit=limit, offset=offset, after=own.get("after")
            )
        return jsonify(
            run=run.id,
            criteria=view.criteria.to_json(),
            sort=str(view.order),
            total=reader.count(run, view.criteria),
            rows=found.rows,
            after=found.after,
            max_limit=MAX_PAGE,
        )

    @route("/candidates.csv")
    def candidates_csv() -> Any:
        _, view = _read(Subject.CANDIDATES)
        pieces = rows_csv(engine, view.criteria, view.order)
        return _file(stream_with_context(pieces), "text/csv; charset=utf-8", "candidates.csv")

    def scanned(view: View) -> tuple[Run, Found]:
        with reading(engine) as connection:
            run = published_run(connection)
        return run, reader.scan(run, view.criteria, view.order)

    @route("/pairs.json")
    def pairs_json() -> Any:
        own, view = _read(Subject.PAIRS)
        limit = _whole(own, "limit", page_size)
        if not 0 <= limit <= LISTED:
            raise CriteriaError(f"The best {limit} pairs cannot be had.", hint=f"Ask for 0 to {LISTED}.")
        run, found = scanned(view)
        return jsonify(
            run=run.id,
            criteria=view.criteria.to_json(),
            sort=str(view.order),
            pairs=found.pairs,
            total=found.count,
            note=found.note,
            rows=found.rows[:limit],
            max_limit=LISTED,
        )

    @route("/pairs.csv")
    def pairs_csv() -> Any:
        _, view = _read(Subject.PAIRS)
        return _file(scan_csv(scanned(view)[1].rows), "text/csv; charset=utf-8", "pairs.csv")

    def load(bottom: str, top: str) -> Pair:
        with reading(engine) as connection:
            return pair(connection, published_run(connection), bottom, top)

    def stacked(bottom: str, top: str) -> Stack:
        with reading(engine) as connection:
            return _stack(connection, published_run(connection), bottom, top)

    @route("/models.json")
    def models_json() -> Any:
        with reading(engine) as connection:
            return jsonify(models=[_model(one) for one in served_models(connection)])

    @route("/models/<version>.json")
    def model_json(version: str) -> Any:
        with reading(engine) as connection:
            return jsonify(_model(model_page(connection, _whole({"version": version}, "version", 0))))

    @route("/pair/<bottom>/<top>.json")
    def pair_json(bottom: str, top: str) -> Any:
        return jsonify(asdict(load(bottom, top)))

    @route("/pair/<bottom>/<top>.csv")
    def pair_table(bottom: str, top: str) -> Any:
        return _file(pair_csv(load(bottom, top)), "text/csv; charset=utf-8", f"{bottom}_{top}.csv")

    @route("/pair/<bottom>/<top>.cif")
    def pair_cif(bottom: str, top: str) -> Any:
        return _file(write(stacked(bottom, top), FileFormat.CIF), "chemical/x-cif", f"{bottom}_{top}.cif")

    @route("/pair/<bottom>/<top>.poscar")
    def pair_poscar(bottom: str, top: str) -> Any:
        text = write(stacked(bottom, top), FileFormat.POSCAR)
        return _file(text, "text/plain; charset=utf-8", f"{bottom}_{top}.poscar")

    @route("/pair/<bottom>/<top>.extxyz")
    def pair_extxyz(bottom: str, top: str) -> Any:
        text = write(stacked(bottom, top), FileFormat.EXTXYZ)
        return _file(text, "text/plain; charset=utf-8", f"{bottom}_{top}.extxyz")

    return api


def _stack(connection: Connection, run: Run, bottom: str, top: str) -> Stack:
    return stack_of(connection, run, pair(connection, run, bottom, top).row)


def _read(subject: Subject) -> tuple[dict[str, str], View]:
    """The page's own parameters, and the view that the others say; the path says of what."""
    items = list(request.args.items(multi=True))
    others = [one for one in items if one[0] not in (*_OWN, OF)]
    return {key: value for key, value in items if key in _OWN}, View.read(urlencode([*others, (OF, subject)]))


def _whole(given: dict[str, str], key: str, default: int) -> int:
    text = given.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise CriteriaError(f"{key} = {text!r} is not a whole number.", hint=f"Write {key}=100.")
    return int(text)


def _model(model: ModelPage) -> dict[str, Any]:
    return {**asdict(model), "reports": [report.as_json() for report in model.reports]}


def _file(content: Any, kind: str, name: str) -> Response:
    safe = "".join(letter if letter.isalnum() or letter in "-_.()" else "_" for letter in name)
    return Response(content, mimetype=kind, headers={"Content-Disposition": f'attachment; filename="{safe}"'})
