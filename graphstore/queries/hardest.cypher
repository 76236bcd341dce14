// purpose: The hardest instances: difficulty is 1 - the share, in the pattern, of the best of the instance's own classes
// (CSRMS eq. 7); among equals the lowest score first. Instances without a label are left out.
// splits: train
// parameters: $run = key of a run; $top INT64 = how many
// columns: key STRING, idx INT64, source_id STRING, pattern INT64, difficulty DOUBLE, score DOUBLE
// cost: all instances of the run
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train' AND EXISTS { MATCH (i)-[:HAS_LABEL]->(:Class) }
RETURN i.key AS key, i.idx AS idx, i.source_id AS source_id, p.idx AS pattern, e.difficulty AS difficulty,
  e.score AS score
ORDER BY difficulty DESC, score, idx
LIMIT $top
