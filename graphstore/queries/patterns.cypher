// purpose: The patterns, largest first: size counts training instances, top_share is the largest share of a class.
// splits: train
// parameters: $run = key of a run
// columns: pattern INT64, size INT64, dominated BOOL, top_share DOUBLE
// cost: the patterns of the run
MATCH (p:Pattern {run: $run})
RETURN p.idx AS pattern, p.size AS size, p.dominated AS dominated, p.top_share AS top_share
ORDER BY size DESC, pattern
