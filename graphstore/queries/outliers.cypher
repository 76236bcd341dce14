// purpose: The instances that fit their pattern least: lowest score first.
// splits: all
// parameters: $run = key of a run; $top INT64 = how many
// columns: key STRING, idx INT64, source_id STRING, split STRING, pattern INT64, score DOUBLE, difficulty DOUBLE
// cost: all instances of the run
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
RETURN i.key AS key, i.idx AS idx, i.source_id AS source_id, i.split AS split, p.idx AS pattern, e.score AS score,
  e.difficulty AS difficulty
ORDER BY score, idx
LIMIT $top
