// purpose: R_ID of `r_id` whole, as one list of the partners' idx in no order: for long answers, which are slow row by
// row over a network.
// parameters: $run = key of a run; $instance = key of an instance
// columns: idx INT64[]
// cost: the instances of its classes
MATCH (a:Instance {key: $instance})-[:IN_PATTERN]->(p:Pattern {run: $run, dominated: true})
MATCH (a)-[:HAS_LABEL]->(:Class)<-[:HAS_LABEL]-(b:Instance)-[:IN_PATTERN]->(q:Pattern {run: $run, dominated: true})
WHERE q.key <> p.key AND b.key <> a.key AND b.split = 'train'
RETURN collect(DISTINCT b.idx) AS idx
