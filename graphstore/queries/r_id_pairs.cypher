// purpose: R_ID by class: pairs counts the pairs of instances of the class that lie in different dominated patterns (each
// pair once; one that shares two classes counts for both).
// splits: train
// parameters: $run = key of a run
// columns: idx INT64, class STRING, instances INT64, patterns INT64, pairs INT64
// cost: the COVERS edges of the run's dominated patterns
MATCH (p:Pattern {run: $run, dominated: true})-[v:COVERS]->(c:Class)
WITH c.idx AS idx, c.name AS class, count(p.key) AS patterns, sum(v.n) AS instances, sum(v.n * v.n) AS squares
RETURN idx AS idx, class AS class, instances AS instances, patterns AS patterns,
  (instances * instances - squares) / 2 AS pairs
ORDER BY pairs DESC, idx
