"""From a database's file to deduplicated materials: readers, validation, loading, deduplication."""
