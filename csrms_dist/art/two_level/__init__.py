"""Any algorithm of ART on two levels over virtual shards."""
