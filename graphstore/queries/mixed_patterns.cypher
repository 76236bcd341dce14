// purpose: The patterns that no class dominates, most mixed first: entropy is that of the class of a random label in the
// pattern, in bits (0: one class; 1: two classes with as many labels each).
// splits: train
// parameters: $run = key of a run
// columns: pattern INT64, size INT64, top_share DOUBLE, classes INT64, entropy DOUBLE
// cost: the COVERS edges of the run's mixed patterns
MATCH (r:Run {key: $run})-[:OF_DATASET]->(s:Dataset)
WHERE s.n_classes > 0
MATCH (p:Pattern {run: $run, dominated: false})
OPTIONAL MATCH (p)-[v:COVERS]->(c:Class)
WITH p.idx AS pattern, p.size AS size, p.top_share AS top_share, count(c.key) AS classes, 1.0 * sum(v.n) AS labels,
  sum(v.n * log10(v.n)) AS weighted
RETURN pattern AS pattern, size AS size, top_share AS top_share, classes AS classes,
  CASE WHEN classes < 2 THEN 0.0 ELSE round((log10(labels) - weighted / labels) / log10(2.0), 9) END AS entropy
ORDER BY entropy DESC, size DESC, pattern
