// purpose: R_ID, CSRMS eq. 1: instances that share a label with this one, both in dominated patterns, which differ; in
// no order, so that the first rows of a long answer come fast. This one may be of any split.
// splits: train
// parameters: $run = key of a run; $instance = key of an instance
// columns: source_id STRING, key STRING, idx INT64
// cost: the instances of its classes; the longest of the three
MATCH (a:Instance {key: $instance})-[:IN_PATTERN]->(p:Pattern {run: $run, dominated: true})
MATCH (a)-[:HAS_LABEL]->(:Class)<-[:HAS_LABEL]-(b:Instance)-[:IN_PATTERN]->(q:Pattern {run: $run, dominated: true})
WHERE q.idx <> p.idx AND b.idx <> a.idx AND b.split = 'train'
RETURN DISTINCT b.source_id AS source_id, b.key AS key, b.idx AS idx
