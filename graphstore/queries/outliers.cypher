// purpose: The instances that lie farthest from those that are nearest to them: distance is that to the fifth nearest
// training instance, between L2-normalised features; those that stand out (outlier) first.
// parameters: $run = key of a run; $top INT64 = how many
// columns: key STRING, idx INT64, source_id STRING, outlier BOOL, distance DOUBLE, pattern INT64, score DOUBLE
// cost: all instances of the run
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train'
RETURN i.key AS key, i.idx AS idx, i.source_id AS source_id, e.outlier AS outlier, e.distance AS distance,
  p.idx AS pattern, e.score AS score
ORDER BY outlier DESC, distance DESC, idx
LIMIT $top
