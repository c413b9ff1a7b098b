"""Screens of the whole pair space: plan, ledger, blocks, tiles, candidates, publication."""
