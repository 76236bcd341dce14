// purpose: The hardest instances: difficulty is 1 - the share, in the pattern, of the best of the instance's own classes
// (CSRMS eq. 7); among equals the lowest score first.
// parameters: $run = key of a run; $top INT64 = how many
// columns: source_id STRING, key STRING, idx INT64, pattern INT64, difficulty DOUBLE, score DOUBLE
// cost: all instances of the run
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train'
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, p.idx AS pattern, e.difficulty AS difficulty,
  e.score AS score
ORDER BY difficulty DESC, score, idx
LIMIT $top
