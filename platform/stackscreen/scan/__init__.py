"""Any filter over all pairs of the published run, from a memory-mapped copy of its tiles."""
