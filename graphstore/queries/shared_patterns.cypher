// purpose: Why two classes look alike: the patterns in which both lie, with what each holds of them; the patterns that
// hold most of both come first.
// splits: train
// parameters: $run = key of a run; $a = name of a class; $b = name of another class
// columns: pattern INT64, size INT64, dominated BOOL, n_a INT64, share_a DOUBLE, role_a STRING, n_b INT64,
// share_b DOUBLE, role_b STRING, in_common INT64
// cost: the patterns of one class
MATCH (p:Pattern {run: $run})-[x:COVERS]->(a:Class {name: $a})
MATCH (p)-[y:COVERS]->(b:Class {name: $b})
WHERE a.key <> b.key
RETURN p.idx AS pattern, p.size AS size, p.dominated AS dominated,
  x.n AS n_a, x.share AS share_a, x.role AS role_a, y.n AS n_b, y.share AS share_b, y.role AS role_b,
  CASE WHEN x.n < y.n THEN x.n ELSE y.n END AS in_common
ORDER BY in_common DESC, pattern
