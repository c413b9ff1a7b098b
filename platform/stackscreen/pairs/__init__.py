"""The pair-space engine: coincidence lattices of any two in-plane lattices, exactly and without angles."""

from stackscreen.pairs.dense import Known, RowMatcher, ShapeIndex
from stackscreen.pairs.limits import PairLimits
from stackscreen.pairs.match import MatchedLevel, MatchedRow, match_row
from stackscreen.pairs.shapes import ShapeTable
from stackscreen.pairs.solution import NoCoincidenceError, PairSolution, solve_pair

__all__ = [
    "Known",
    "MatchedLevel",
    "MatchedRow",
    "NoCoincidenceError",
    "PairLimits",
    "PairSolution",
    "RowMatcher",
    "ShapeIndex",
    "ShapeTable",
    "match_row",
    "solve_pair",
]
