// purpose: Which classes look alike: weight is the chance that, from a random instance of `class`, a random instance of
// its pattern is of `other`; strongest is the larger of the weights of both directions.
// splits: train
// parameters: $run = key of a run
// columns: class STRING, other STRING, weight DOUBLE, strongest DOUBLE
// cost: the stored LOOKS_LIKE edges, at most five a class
MATCH (a:Class)-[l:LOOKS_LIKE {run: $run}]->(b:Class)
OPTIONAL MATCH (b)-[m:LOOKS_LIKE {run: $run}]->(a)
RETURN a.name AS class, b.name AS other, l.weight AS weight,
  CASE WHEN coalesce(m.weight, 0.0) > l.weight THEN m.weight ELSE l.weight END AS strongest
ORDER BY strongest DESC, weight DESC, class, other
