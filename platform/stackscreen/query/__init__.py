"""The one way to read candidates and their evidence: filters, pages, one pair, exports, and what the database holds."""
