"""The core: market, orders, legs, gate and ledger behind one door; pure and deterministic."""
