"""Where the pipeline meets other systems: Kafka, the object store, the warehouse."""
