// purpose: Labels that the surroundings contradict, least supported first: in the patterns around the instance, `label`
// has the share `support` and `suggested`, none of its labels, the larger one `suggested_share`.
// splits: all
// parameters: $run = key of a run; $top INT64 = how many
// columns: source_id STRING, key STRING, idx INT64, split STRING, pattern INT64, label STRING, support DOUBLE,
// suggested STRING, suggested_share DOUBLE, difficulty DOUBLE, score DOUBLE
// cost: all instances of the run, and the labels of those that could be listed
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE e.suggested_share > e.support AND EXISTS { MATCH (i)-[:HAS_LABEL]->(:Class) }
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, i.split AS split, p.idx AS pattern, e.doubted AS label,
  e.support AS support, e.suggested AS suggested, e.suggested_share AS suggested_share, e.difficulty AS difficulty,
  e.score AS score
ORDER BY support, difficulty DESC, score, idx
LIMIT $top
