// purpose: The instances that fit their pattern least: lowest score first.
// parameters: $run = key of a run; $top INT64 = how many
// columns: source_id STRING, key STRING, idx INT64, pattern INT64, score DOUBLE, difficulty DOUBLE
// cost: all instances of the run
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train'
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, p.idx AS pattern, e.score AS score,
  e.difficulty AS difficulty
ORDER BY score, idx
LIMIT $top
