// purpose: The runs of this run's data set, newest first: what $other of a comparison may be.
// splits: none
// parameters: $run = key of a run
// columns: key STRING, live BOOL, status STRING, created_ms INT64, vigilance DOUBLE, patterns INT64
// cost: a row for each run
MATCH (:Run {key: $run})-[:OF_DATASET]->(d:Dataset)
MATCH (r:Run)-[:OF_DATASET]->(d)
RETURN r.key AS key, d.live_run = r.key AS live, r.status AS status, r.created_ms AS created_ms,
  r.vigilance AS vigilance, r.n_patterns AS patterns
ORDER BY created_ms DESC, key
