"""Makes the small files of this folder importable from the tests of single sources."""
