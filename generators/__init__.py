"""Where traces come from: seed families, completion, tree search, programs, proofs."""
