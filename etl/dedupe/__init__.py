"""Which records describe the same material: block, prefilter by fingerprint, decide by matching, keep the evidence."""
