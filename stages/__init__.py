"""Changes, measures and gathers documents, and turns what is left into token shards."""
