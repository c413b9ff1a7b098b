"""From a database file to canonical materials: read, normalise, validate, load, deduplicate."""
