"""Every model in one import: with it, `Base.metadata` knows all tables."""

from schema.base import Base
from schema.errors import StackscreenError
from schema.features import Embedding, FeatureSet, FeatureVector, ModelVersion
from schema.interfaces import Interface, Stacking
from schema.materials import BulkPhase, Material, MaterialMember, Monolayer, Surface
from schema.properties import Property, PropertyValue
from schema.provenance import ImportRun, RecordFlag, Source, SourceRecord
from schema.screening import (
    Candidate,
    PairBlock,
    PairTile,
    SavedScreen,
    ScreenChange,
    ScreeningMember,
    ScreeningRun,
    ScreeningRunModel,
    ScreenResult,
)
from schema.structures import Structure

__all__ = [
    "Base",
    "BulkPhase",
    "Candidate",
    "Embedding",
    "FeatureSet",
    "FeatureVector",
    "ImportRun",
    "Interface",
    "Material",
    "MaterialMember",
    "ModelVersion",
    "Monolayer",
    "PairBlock",
    "PairTile",
    "Property",
    "PropertyValue",
    "RecordFlag",
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
    "Structure",
    "Surface",
]
