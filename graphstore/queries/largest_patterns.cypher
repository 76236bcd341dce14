// purpose: The largest pattern that each class dominates, by its instances of the class (ties to the lower index), from
// which its positives are drawn (CSRMS eq. 5). A class that dominates none is not listed.
// splits: train
// parameters: $run = key of a run
// columns: idx INT64, class STRING, pattern INT64, size INT64, n INT64, share DOUBLE
// cost: the COVERS edges of the run's dominated patterns
MATCH (p:Pattern {run: $run, dominated: true})-[v:COVERS {role: 'dominates'}]->(c:Class)
WITH c.idx AS idx, c.name AS class, max(v.n * 1000000000 - p.idx) AS best, collect(p.key) AS keys
UNWIND keys AS key
MATCH (p:Pattern {key: key})
WHERE (best + p.idx) % 1000000000 = 0
WITH idx AS idx, class AS class, p.idx AS pattern, p.size AS size, (best + p.idx) / 1000000000 AS n
RETURN idx AS idx, class AS class, pattern AS pattern, size AS size, n AS n, 1.0 * n / size AS share
ORDER BY idx
