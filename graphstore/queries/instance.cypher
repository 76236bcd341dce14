// purpose: One instance: a row for each of its classes, with its pattern and how typical it is there. share is the
// part of the pattern's training instances that are of the class.
// splits: all
// parameters: $run = key of a run; $instance = key of an instance
// columns: source_id STRING, split STRING, uri STRING, class STRING, pattern INT64, size INT64, dominated BOOL,
// share DOUBLE, role STRING, score DOUBLE, difficulty DOUBLE
// cost: one look-up by key
MATCH (i:Instance {key: $instance})-[e:IN_PATTERN]->(p:Pattern {run: $run})
OPTIONAL MATCH (i)-[:HAS_LABEL]->(c:Class)
OPTIONAL MATCH (p)-[v:COVERS]->(c)
RETURN i.source_id AS source_id, i.split AS split, i.uri AS uri, c.name AS class, p.idx AS pattern, p.size AS size,
  p.dominated AS dominated, CASE WHEN c.key IS NULL THEN NULL ELSE coalesce(v.share, 0.0) END AS share,
  CASE WHEN c.key IS NULL THEN NULL ELSE coalesce(v.role, 'none') END AS role, e.score AS score, e.difficulty AS difficulty
ORDER BY share DESC, class
