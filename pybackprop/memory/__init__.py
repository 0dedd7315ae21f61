"""Memory: a ledger of every byte, what other ways of computing the same step would need, and what fits."""
