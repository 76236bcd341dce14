"""A stored run for others' tools: PyTorch Geometric (`pyg`) and DGL (`dgl_graph`). docs/others_tools.md tells how."""
