// purpose: The instances that lie farthest from those that are nearest to them: distance is that to the fifth nearest
// training instance, between L2-normalised features; those that stand out (outlier) first.
// splits: all
// parameters: $run = key of a run; $top INT64 = how many
// columns: source_id STRING, key STRING, idx INT64, split STRING, outlier BOOL, distance DOUBLE, pattern INT64,
// score DOUBLE
// cost: all instances of the run
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, i.split AS split, e.outlier AS outlier,
  e.distance AS distance, p.idx AS pattern, e.score AS score
ORDER BY outlier DESC, distance DESC, idx
LIMIT $top
