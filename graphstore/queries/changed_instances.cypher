// purpose: Which instances lay in a dominated pattern in one of two runs and in a mixed one in the other: those whose
// difficulty changed most first.
// splits: train
// parameters: $run = key of a run; $other = key of another run of the same data set; $top INT64 = how many
// columns: source_id STRING, key STRING, idx INT64, other_pattern INT64, other_dominated BOOL, other_difficulty DOUBLE,
// pattern INT64, dominated BOOL, difficulty DOUBLE, change DOUBLE
// cost: all instances of both runs
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train'
MATCH (i)-[f:IN_PATTERN]->(q:Pattern {run: $other})
WHERE p.dominated <> q.dominated
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, q.idx AS other_pattern, q.dominated AS other_dominated,
  f.difficulty AS other_difficulty, p.idx AS pattern, p.dominated AS dominated, e.difficulty AS difficulty,
  abs(1.0 * e.difficulty - f.difficulty) AS change
ORDER BY change DESC, idx
LIMIT $top
