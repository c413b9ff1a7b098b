"""Every model in one import: with it, `Base.metadata` knows all tables."""

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
