"""What ships with the repository: seeds, held-out sets, programs, proofs, rules."""
