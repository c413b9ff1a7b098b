"""The database: SQLAlchemy models, analyst views, engine and roles.

`from schema import Material` works for every model; SQLAlchemy is imported by the first of them, not by a
program that wants only `schema.errors` or `schema.vocabulary`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schema.base import Base
    from schema.errors import StackscreenError
    from schema.evaluations import ModelCurve, ModelEvaluation, ModelMetric
    from schema.features import Embedding, FeatureSet, FeatureVector, ModelVersion
    from schema.interfaces import Interface, InterfaceMember, Stacking
    from schema.materials import BulkPhase, DedupeRuling, Material, MaterialMember, Monolayer, Surface
    from schema.properties import Property, PropertyValue
    from schema.provenance import ImportRun, RecordFlag, RecordName, RecordRelease, Source, SourceRecord
    from schema.screening import (
        Candidate,
        PairBlock,
        PairTile,
        PairTileLevel,
        SavedScreen,
        ScreenChange,
        ScreeningMember,
        ScreeningRun,
        ScreeningRunModel,
        ScreenResult,
    )
    from schema.spectra import BandStructure, DensityOfStates, DosProjection, PhononSpectrum, StiffnessTensor
    from schema.structures import Structure

__all__ = [
    "BandStructure",
    "Base",
    "BulkPhase",
    "Candidate",
    "DedupeRuling",
    "DensityOfStates",
    "DosProjection",
    "Embedding",
    "FeatureSet",
    "FeatureVector",
    "ImportRun",
    "Interface",
    "InterfaceMember",
    "Material",
    "MaterialMember",
    "ModelCurve",
    "ModelEvaluation",
    "ModelMetric",
    "ModelVersion",
    "Monolayer",
    "PairBlock",
    "PairTile",
    "PairTileLevel",
    "PhononSpectrum",
    "Property",
    "PropertyValue",
    "RecordFlag",
    "RecordName",
    "RecordRelease",
    "SavedScreen",
    "ScreenChange",
    "ScreenResult",
    "ScreeningMember",
    "ScreeningRun",
    "ScreeningRunModel",
    "Source",
    "SourceRecord",
    "Stacking",
    "StackscreenError",
    "StiffnessTensor",
    "Structure",
    "Surface",
]


def __getattr__(name: str) -> Any:
    """A model, imported with all others when the first is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'schema' has no attribute {name!r}")
    return getattr(import_module("schema.models"), name)
