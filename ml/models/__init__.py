"""Kinds of model: each a pure function of features, with an artefact that is text or safetensors."""
