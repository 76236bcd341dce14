// purpose: How representative each pattern is of a class: share is the class's part of the pattern's instances (N_k^j /
// N_k, the representativeness of CSRMS sec. 4.2.3), of_class the pattern's part of the class's instances.
// splits: train
// parameters: $run = key of a run; $class = name of a class
// columns: pattern INT64, size INT64, dominated BOOL, n INT64, share DOUBLE, of_class DOUBLE, role STRING
// cost: the patterns of the class
MATCH (:Pattern {run: $run})-[v:COVERS]->(:Class {name: $class})
WITH sum(v.n) AS total
MATCH (p:Pattern {run: $run})-[v:COVERS]->(:Class {name: $class})
RETURN p.idx AS pattern, p.size AS size, p.dominated AS dominated, v.n AS n, v.share AS share,
  1.0 * v.n / total AS of_class, v.role AS role
ORDER BY share DESC, n DESC, pattern
