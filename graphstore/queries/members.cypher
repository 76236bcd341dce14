// purpose: The instances of a pattern: those that fit it best first.
// splits: all
// parameters: $run = key of a run; $pattern INT64 = index of a pattern; $top INT64 = how many
// columns: source_id STRING, key STRING, idx INT64, split STRING, uri STRING, score DOUBLE
// cost: the instances of the pattern
MATCH (i:Instance)-[e:IN_PATTERN]->(:Pattern {run: $run, idx: $pattern})
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, i.split AS split, i.uri AS uri, e.score AS score
ORDER BY score DESC, idx
LIMIT $top
