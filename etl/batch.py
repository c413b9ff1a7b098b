"""Deciding what becomes of the records of one batch, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from etl.judge import Read
from etl.validate import Accepted
from schema.vocabulary import RecordState

DUPLICATE = "duplicate_external_id"


class Held(NamedTuple):
    """A version of a record that the database holds already.

    Attributes:
        released: whether a person has released it in spite of a rule.
        passed_over: whether it was replaced by a version that a person released and that is in use.
    """

    id: int
    state: RecordState
    rule: str | None
    released: bool = False
    passed_over: bool = False


@dataclass(slots=True)
class Decision:
    """What to do with one record.

    Attributes:
        accepted: its checked content; None if quarantined.
        rule, reason: of the quarantine.
        held: the version of the same content that comes back to life, if any.
        supersedes: id of the living version that it replaces, if any.
        returns: whether a released version comes back to life, whatever the rules say.
    """

    read: Read
    accepted: Accepted | None
    rule: str | None = None
    reason: str | None = None
    held: Held | None = None
    supersedes: int | None = None
    returns: bool = False


@dataclass(slots=True)
class Counts:
    """What became of records: how many, and by which rule."""

    read: int = 0
    accepted: int = 0
    flagged: int = 0
    unchanged: int = 0
    superseded: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Sum up."""
        self.read += other.read
        self.accepted += other.accepted
        self.flagged += other.flagged
        self.unchanged += other.unchanged
        self.superseded += other.superseded
        self.flags.update(other.flags)
        self.quarantined.update(other.quarantined)


class Decider:
    """Remembers which names this file has brought so far, to find two records of one name."""

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}

    def decide(
        self, reads: Iterable[Read], held: Mapping[tuple[str, bytes], Held], living: Mapping[str, int]
    ) -> tuple[list[Decision], Counts]:
        """Decide a batch.

        Args:
            reads: the batch, in the order of the file.
            held: versions that the database holds of these names, by name and hash.
            living: id of the accepted version of each name.

        Returns:
            What is to be written, and the counts of the whole batch.
        """
        decisions: list[Decision] = []
        counts = Counts()
        taken: set[tuple[str, bytes]] = set()
        for read in reads:
            counts.read += 1
            first = self._seen.setdefault(read.external_id, read.payload_hash)
            repeated = first != read.payload_hash
            version = held.get((read.external_id, read.payload_hash))
            if _is_known(version, repeated) or (read.external_id, read.payload_hash) in taken:
                counts.unchanged += 1
                continue
            taken.add((read.external_id, read.payload_hash))
            decision = _decide(read, repeated)
            decision.held = version
            decision.returns = version is not None and version.state is RecordState.SUPERSEDED and version.released
            if decision.accepted is not None or decision.returns:
                decision.supersedes = living.get(read.external_id)
                _count_accepted(counts, decision)
            else:
                counts.quarantined[str(decision.rule)] += 1
            decisions.append(decision)
        return decisions, counts


def _is_known(version: Held | None, repeated: bool) -> bool:
    """Whether the database holds this very content already, in a state that stands."""
    if version is None:
        return False
    if version.state is RecordState.ACCEPTED or repeated:
        return True
    if version.state is RecordState.SUPERSEDED:
        return version.passed_over
    # What was set aside only because its file had two records of one name is looked at again when it comes alone.
    return version.rule != DUPLICATE


def _decide(read: Read, repeated: bool) -> Decision:
    if repeated and read.rule is None:
        reason = f"The file has another record named {read.external_id} with another content; the first one stands."
        return Decision(read, None, DUPLICATE, reason)
    return Decision(read, read.accepted, read.rule, read.reason)


def _count_accepted(counts: Counts, decision: Decision) -> None:
    counts.accepted += 1
    counts.superseded += decision.supersedes is not None
    doubts = decision.accepted.doubts if decision.accepted else []
    counts.flagged += bool(doubts)
    counts.flags.update(doubt.rule for doubt in doubts)
