"""What is looked at before money is spent on a search: the cluster, its nodes, storage, databases, and the plan."""
