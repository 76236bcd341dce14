// purpose: Which classes look alike, each pair once: lift is how much more often their images lie together than classes
// of their sizes would by chance, images how many of each do, bound the lift that so many support, by which they are
// ordered. weight is the chance that, from a random instance of `class`, a random instance of its pattern is of `other`,
// and reverse that of the other direction. Instances that carry both classes are left out.
// splits: train
// parameters: $run = key of a run
// columns: class STRING, other STRING, lift DOUBLE, images INT64, bound DOUBLE, weight DOUBLE, reverse DOUBLE
// cost: the stored LOOKS_LIKE edges, at most five a class
MATCH (a:Class)-[l:LOOKS_LIKE {run: $run}]->(b:Class)
WHERE a.idx < b.idx OR NOT EXISTS { MATCH (b)-[:LOOKS_LIKE {run: $run}]->(a) }
RETURN a.name AS class, b.name AS other, l.lift AS lift, l.images AS images, l.bound AS bound, l.weight AS weight,
  l.reverse AS reverse
ORDER BY bound DESC, lift DESC, class, other
