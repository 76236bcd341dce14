// purpose: The largest pattern that each class dominates, by its instances of the class (ties to the lower index), from
// which its positives are drawn (CSRMS eq. 5). A class that dominates none is not listed.
// parameters: $run = key of a run
// columns: idx INT64, class STRING, pattern INT64, size INT64, n INT64, share DOUBLE
// cost: the COVERS edges of the run's dominated patterns
MATCH (p:Pattern {run: $run, dominated: true})-[v:COVERS {role: 'dominates'}]->(c:Class)
WITH c.key AS class, max(v.n) AS most
MATCH (p:Pattern {run: $run, dominated: true})-[v:COVERS {role: 'dominates'}]->(c:Class {key: class})
WHERE v.n = most
WITH c.key AS class, most AS most, min(p.idx) AS first
MATCH (p:Pattern {run: $run, idx: first})-[v:COVERS]->(c:Class {key: class})
RETURN c.idx AS idx, c.name AS class, p.idx AS pattern, p.size AS size, v.n AS n, v.share AS share
ORDER BY idx
