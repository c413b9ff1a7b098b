"""Which records are the same material: block by formula, decide by the motion that fits best, keep the evidence."""
