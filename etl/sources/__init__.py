"""One small reader a database; importing this package registers them all."""

from etl.sources import bidb, bulk_folder, c2db, hetero2d, twodmatpedia

__all__ = ["bidb", "bulk_folder", "c2db", "hetero2d", "twodmatpedia"]
