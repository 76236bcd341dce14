// purpose: Instances whose pattern contradicts their labels: some class dominates it, none of the instance's own does.
// `suggested` is a class that dominates; most clear-cut first: by its share, then by how well the instance fits.
// parameters: $run = key of a run; $top INT64 = how many
// columns: key STRING, idx INT64, source_id STRING, pattern INT64, suggested STRING, share DOUBLE, score DOUBLE
// cost: the instances of the run's dominated patterns
MATCH (i:Instance)-[e:IN_PATTERN]->(p:Pattern {run: $run, dominated: true})
WHERE i.split = 'train'
  AND NOT EXISTS { MATCH (i)-[:HAS_LABEL]->(:Class)<-[:COVERS {role: 'dominates'}]-(p) }
MATCH (p)-[v:COVERS {role: 'dominates'}]->(c:Class)
RETURN i.key AS key, i.idx AS idx, i.source_id AS source_id, p.idx AS pattern, c.name AS suggested, v.share AS share,
  e.score AS score
ORDER BY share DESC, score DESC, idx, suggested
LIMIT $top
