// purpose: Which classes a model confuses, by its predictions: n images of `class` were taken for one of `other`, share of
// those of `class` that it was asked about; most images first. Predictions of several labels an image have none.
// splits: all
// parameters: $run = key of a run; $addition = key of an addition of predictions, or '' for the newest
// columns: class STRING, other STRING, n INT64, share DOUBLE
// cost: the stored CONFUSED_WITH edges of the addition
MATCH (d:Addition {run: $run, kind: 'predictions', status: 'ready'})
WHERE $addition = '' OR d.key = $addition
WITH d.key AS chosen, d.created_ms AS created
ORDER BY created DESC, chosen DESC
LIMIT 1
MATCH (a:Class)-[e:CONFUSED_WITH {addition: chosen}]->(b:Class)
RETURN a.name AS class, b.name AS other, e.n AS n, e.share AS share
ORDER BY n DESC, share DESC, class, other
