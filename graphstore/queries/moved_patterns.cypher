// purpose: What changed between two runs of a data set: how many instances of each pattern of the other run lie in each
// pattern of this one, most first.
// splits: train
// parameters: $run = key of a run; $other = key of another run of the same data set
// columns: other_pattern INT64, other_size INT64, other_dominated BOOL, pattern INT64, size INT64, dominated BOOL,
// n INT64
// cost: all instances of both runs
MATCH (i:Instance)-[:IN_PATTERN]->(p:Pattern {run: $run})
WHERE i.split = 'train'
MATCH (i)-[:IN_PATTERN]->(q:Pattern {run: $other})
RETURN q.idx AS other_pattern, q.size AS other_size, q.dominated AS other_dominated, p.idx AS pattern, p.size AS size,
  p.dominated AS dominated, count(i.key) AS n
ORDER BY n DESC, other_pattern, pattern
