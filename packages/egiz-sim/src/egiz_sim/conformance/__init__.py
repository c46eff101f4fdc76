"""Does a device keep the contract? `egiz-sim check` tries it, rule by rule."""
