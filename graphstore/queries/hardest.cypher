// purpose: The hardest instances: support is the share, in the patterns around the instance, of the one of its own
// classes that has least; among equals by difficulty, 1 - the share of its best class in its pattern (CSRMS eq. 7).
// splits: train
// parameters: $run = key of a run; $top INT64 = how many
// columns: source_id STRING, key STRING, idx INT64, pattern INT64, support DOUBLE, difficulty DOUBLE, score DOUBLE
// cost: all instances of the run, and their labels
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train' AND EXISTS { MATCH (i)-[:HAS_LABEL]->(:Class) }
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, p.idx AS pattern, e.support AS support,
  e.difficulty AS difficulty, e.score AS score
ORDER BY support, difficulty DESC, score, idx
LIMIT $top
