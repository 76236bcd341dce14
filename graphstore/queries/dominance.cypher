// purpose: How many patterns each class dominates, the size of the largest and the most of its own instances in one.
// splits: train
// parameters: $run = key of a run
// columns: idx INT64, class STRING, patterns INT64, largest INT64, most INT64
// cost: the COVERS edges of the run
MATCH (r:Run {key: $run})-[:OF_DATASET]->(d:Dataset)
MATCH (d)<-[:OF_DATASET]-(c:Class)
OPTIONAL MATCH (p:Pattern {run: $run})-[v:COVERS {role: 'dominates'}]->(c)
RETURN c.idx AS idx, c.name AS class, count(p.key) AS patterns, coalesce(max(p.size), 0) AS largest,
  coalesce(max(v.n), 0) AS most
ORDER BY idx
