// purpose: R_IS, CSRMS eq. 2: instances that share no label with this one, in the same dominated pattern. This one
// may be of any split but unlabelled.
// splits: train
// parameters: $run = key of a run; $instance = key of an instance
// columns: source_id STRING, key STRING, idx INT64
// cost: the instances of its pattern
MATCH (a:Instance {key: $instance})-[:IN_PATTERN]->(p:Pattern {run: $run, dominated: true})
MATCH (p)<-[:IN_PATTERN]-(b:Instance)
WHERE b.idx <> a.idx AND b.split = 'train'
  AND (a.split IN ['train', 'val', 'test'] OR EXISTS { MATCH (a)-[:HAS_LABEL]->(:Class) })
  AND NOT EXISTS { MATCH (a)-[:HAS_LABEL]->(:Class)<-[:HAS_LABEL]-(b) }
RETURN b.source_id AS source_id, b.key AS key, b.idx AS idx
ORDER BY idx
