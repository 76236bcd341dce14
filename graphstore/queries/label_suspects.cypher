// purpose: Instances whose pattern contradicts their labels: some class dominates it, none of the instance's own does.
// `suggested` is a class that dominates; most clear-cut first: by its share, then by how well the instance fits. Images
// that nobody labelled are left out.
// splits: all
// parameters: $run = key of a run; $top INT64 = how many
// columns: key STRING, idx INT64, source_id STRING, split STRING, pattern INT64, suggested STRING, share DOUBLE, score DOUBLE
// cost: the instances of the run's dominated patterns; the labels of the difficult ones
MATCH (r:Run {key: $run})
MATCH (p:Pattern {run: $run, dominated: true})-[:COVERS {role: 'dominates'}]->(d:Class)
WITH p, 0.999999 - r.dominance_threshold AS least, collect(d.key) AS ruling
MATCH (i:Instance)-[e:IN_PATTERN]->(p)
WHERE e.difficulty > least AND (i.split IN ['train', 'val', 'test'] OR EXISTS { MATCH (i)-[:HAS_LABEL]->(:Class) })
OPTIONAL MATCH (i)-[:HAS_LABEL]->(own:Class)
WITH i, p, e.score AS score, sum(CASE WHEN own.key IN ruling THEN 1 ELSE 0 END) AS agreeing
WHERE agreeing = 0
MATCH (p)-[v:COVERS {role: 'dominates'}]->(c:Class)
RETURN i.key AS key, i.idx AS idx, i.source_id AS source_id, i.split AS split, p.idx AS pattern, c.name AS suggested,
  v.share AS share, score AS score
ORDER BY share DESC, score DESC, idx, suggested
LIMIT $top
