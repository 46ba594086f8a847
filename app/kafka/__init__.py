"""How Kafka is reached: Faust transport, recovery, transactional producers, topics, and the local broker."""
