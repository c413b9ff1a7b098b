"""One record judged on its own merits: its canonical payload, and what of it may be used.

Nothing here knows the database, so that it can run in a parsing process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etl.errors import RecordError
from etl.payload import canonical_json, clean_text, digest
from etl.records import RawFailure, Record
from etl.spectra import spectrum_bytes
from etl.validate import NOTHING_WAIVED, Accepted, Waived, validate
from schema.vocabulary import Subject

_KEPT_TEXT = 1 << 20
"""Characters kept of content that no JSON can hold."""


@dataclass(slots=True)
class Read:
    """One record as it came from the reader, with its canonical payload, hash and verdict.

    Attributes:
        subject: None for what could not be read.
        payload: canonical JSON; None where only raw text is kept.
        accepted: its checked content; None if a rule refuses it, or if it was not looked at.
        rule, reason: of the refusal.
        known: whether the database holds this content already, so that it was not looked at.
    """

    external_id: str
    subject: Subject | None
    payload: bytes | None
    raw_text: str | None
    payload_hash: bytes
    accepted: Accepted | None = None
    rule: str | None = None
    reason: str | None = None
    known: bool = False


def weight(read: Read) -> int:
    """Bytes that a record brings to the database, roughly."""
    spectra = read.accepted.spectra if read.accepted is not None else []
    return len(read.payload or b"") + len(read.raw_text or "") + sum(map(spectrum_bytes, spectra))


def fingerprint(external_id: str, payload_hash: bytes) -> bytes:
    """One digest of a record's name and content."""
    return digest(payload_hash + external_id.encode())


def judge(item: Record | RawFailure, known: frozenset[bytes] = frozenset(), waived: Waived = NOTHING_WAIVED) -> Read:
    """Give a record its payload and hash, and its verdict.

    Args:
        item: what the reader gave.
        known: `fingerprint`s of what need not be looked at again.
        waived: what a person has released of it.
    """
    read, failure = _with_payload(item)
    if fingerprint(read.external_id, read.payload_hash) in known:
        read.known = True
    elif failure is not None:
        read.rule, read.reason = failure.rule, clean_text(failure.reason)
    elif isinstance(item, Record):
        _validate(item, read, waived)
    return read


def _with_payload(item: Record | RawFailure) -> tuple[Read, RawFailure | None]:
    external_id = clean_text(item.external_id) or "(unnamed)"
    subject = item.subject if isinstance(item, Record) else None
    failure = item if isinstance(item, RawFailure) else None
    if item.payload is not None:
        try:
            payload = canonical_json(item.payload)
        except (TypeError, ValueError, RecursionError) as error:
            reason = f"The content of {external_id} cannot be kept as JSON: {error}"
            failure = RawFailure(external_id, "unparsable", reason, raw_text=_shown(item.payload))
        else:
            return Read(external_id, subject, payload, None, digest(payload)), failure
    raw = clean_text((failure.raw_text if failure is not None else None) or "")
    return Read(external_id, None, None, raw, digest(raw.encode())), failure


def _shown(payload: dict[str, Any]) -> str:
    try:
        return repr(payload)[:_KEPT_TEXT]
    except RecursionError:
        return f"(nested beyond reason; its keys: {', '.join(map(str, list(payload)[:100]))})"


def _validate(record: Record, read: Read, waived: Waived) -> None:
    try:
        read.accepted = validate(record, waived)
    except RecordError as error:
        read.rule, read.reason = error.rule, clean_text(error.reason)
    except (ValueError, ArithmeticError, IndexError, MemoryError) as error:
        # Nonsense that no rule foresaw must cost one record, not the import.
        read.rule = "unparsable"
        read.reason = clean_text(f"The record cannot be checked: {type(error).__name__}: {error}")
