"""Reading an archive: a plan, cut into shards, that processes and machines read in any order."""
