// purpose: R_MC of two classes: pairs counts the pairs of an instance of a and one of b in the same mixed pattern that share
// no label; patterns, the mixed patterns in which there are such pairs.
// splits: train
// parameters: $run = key of a run; $a = name of a class; $b = name of another class
// columns: patterns INT64, pairs INT64
// cost: the instances of both classes; with several labels, for each pattern, the label sets of a times the instances of b
MATCH (:Run {key: $run})-[:OF_DATASET]->(s:Dataset)
MATCH (s)<-[:OF_DATASET]-(a:Class {name: $a})
MATCH (a)<-[:HAS_LABEL]-(x:Instance)-[:IN_PATTERN]->(p:Pattern {run: $run, dominated: false})
WHERE x.split = 'train'
MATCH (x)-[:HAS_LABEL]->(c:Class)
WITH p.key AS pattern, x.key AS one, collect(c.idx) AS labels
WITH pattern AS pattern, labels AS labels, count(one) AS n
MATCH (b:Class {name: $b})<-[:HAS_LABEL]-(y:Instance)-[:IN_PATTERN]->(:Pattern {key: pattern})
WHERE y.split = 'train' AND NOT b.idx IN labels
MATCH (y)-[:HAS_LABEL]->(d:Class)
WITH pattern AS pattern, labels AS labels, n AS n, y.key AS other,
  sum(CASE WHEN d.idx IN labels THEN 1 ELSE 0 END) AS shared
WHERE shared = 0
RETURN count(DISTINCT pattern) AS patterns, coalesce(sum(n), 0) AS pairs
