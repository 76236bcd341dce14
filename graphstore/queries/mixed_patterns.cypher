// purpose: The patterns that no class dominates, largest first, with how many classes lie in them.
// parameters: $run = key of a run
// columns: pattern, size, top_share, classes
// cost: the COVERS edges of the run
MATCH (p:Pattern {run: $run, dominated: false})
OPTIONAL MATCH (p)-[:COVERS]->(c:Class)
RETURN p.idx AS pattern, p.size AS size, p.top_share AS top_share, count(c.key) AS classes
ORDER BY size DESC, pattern
