// purpose: Labels that the surroundings contradict, least supported first: in the patterns around the instance, `label`
// has the share `support` and `suggested`, none of its labels, the larger one `suggested_share`.
// parameters: $run = key of a run; $top INT64 = how many
// columns: key STRING, idx INT64, source_id STRING, pattern INT64, label STRING, support DOUBLE, suggested STRING,
// suggested_share DOUBLE, difficulty DOUBLE, score DOUBLE
// cost: all instances of the run, and the labels of those that could be listed
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train' AND e.suggested_share > e.support
  AND EXISTS { MATCH (i)-[:HAS_LABEL]->(:Class) }
RETURN i.key AS key, i.idx AS idx, i.source_id AS source_id, p.idx AS pattern, e.doubted AS label,
  e.support AS support, e.suggested AS suggested, e.suggested_share AS suggested_share, e.difficulty AS difficulty,
  e.score AS score
ORDER BY support, difficulty DESC, score, idx
LIMIT $top
