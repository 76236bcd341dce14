// purpose: The patterns that hold the same classes as this one: overlap is the sum, over the classes in both, of the
// smaller of the two shares; classes is how many they have in common.
// splits: train
// parameters: $run = key of a run; $pattern INT64 = index of a pattern
// columns: pattern INT64, size INT64, dominated BOOL, classes INT64, overlap DOUBLE
// cost: the patterns of its classes, so at most the COVERS edges of the run
MATCH (p:Pattern {run: $run, idx: $pattern})-[v:COVERS]->(c:Class)
MATCH (q:Pattern {run: $run})-[w:COVERS]->(c)
WHERE q.key <> p.key
WITH q.idx AS pattern, q.size AS size, q.dominated AS dominated, count(c.key) AS classes,
  sum(CASE WHEN v.share < w.share THEN v.share ELSE w.share END) AS total
RETURN pattern AS pattern, size AS size, dominated AS dominated, classes AS classes, round(total, 9) AS overlap
ORDER BY overlap DESC, size DESC, pattern
