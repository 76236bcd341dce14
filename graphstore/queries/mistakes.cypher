// purpose: The images that a model took for a class that is none of their labels, most confident first; `class` is their
// label, with several the first by name. Images without a label are left out.
// splits: all
// parameters: $run = key of a run; $addition = key of an addition of predictions, or '' for the newest; $top INT64 =
// how many
// columns: source_id STRING, key STRING, idx INT64, split STRING, class STRING, predicted STRING, probability DOUBLE
// cost: the images of the addition
MATCH (d:Addition {run: $run, kind: 'predictions', status: 'ready'})
WHERE $addition = '' OR d.key = $addition
WITH d.key AS chosen, d.created_ms AS created
ORDER BY created DESC, chosen DESC
LIMIT 1
MATCH (i:Instance)-[e:PREDICTED {addition: chosen, rank: 1}]->(c:Class)
WHERE NOT EXISTS { MATCH (i)-[:HAS_LABEL]->(c) }
MATCH (i)-[:HAS_LABEL]->(own:Class)
WITH i, c, e.probability AS probability, min(own.name) AS class
RETURN i.source_id AS source_id, i.key AS key, i.idx AS idx, i.split AS split, class AS class, c.name AS predicted,
  probability AS probability
ORDER BY probability DESC, idx
LIMIT $top
