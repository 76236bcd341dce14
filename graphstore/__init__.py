"""The graph store: schema, port, named queries and backends. It sees hierarchies as values, never images or tensors."""
