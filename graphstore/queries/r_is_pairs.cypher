// purpose: R_IS of two classes: pairs counts the pairs of an instance of a and one of b in the same dominated pattern that share
// no label; patterns, the dominated patterns in which there are such pairs.
// parameters: $run = key of a run; $a = name of a class; $b = name of another class
// columns: patterns INT64, pairs INT64
// cost: the instances of both classes; with several labels, for each pattern, the label sets of a times the instances of b
MATCH (p:Pattern {run: $run, dominated: true})-[:COVERS]->(a:Class {name: $a})
MATCH (p)<-[:IN_PATTERN]-(x:Instance)-[:HAS_LABEL]->(a)
WHERE x.split = 'train'
MATCH (x)-[:HAS_LABEL]->(c:Class)
WITH p.key AS pattern, x.key AS one, collect(c.idx) AS labels
WITH pattern AS pattern, labels AS labels, count(one) AS n
MATCH (:Pattern {key: pattern})<-[:IN_PATTERN]-(y:Instance)-[:HAS_LABEL]->(b:Class {name: $b})
WHERE y.split = 'train' AND NOT b.idx IN labels
MATCH (y)-[:HAS_LABEL]->(d:Class)
WITH pattern AS pattern, labels AS labels, n AS n, y.key AS other,
  sum(CASE WHEN d.idx IN labels THEN 1 ELSE 0 END) AS shared
WHERE shared = 0
RETURN count(DISTINCT pattern) AS patterns, coalesce(sum(n), 0) AS pairs
