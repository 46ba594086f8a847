"""Classes of Kafka clients. Every part imports them from here, so that all clients have the connections of connections.py."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient

import app.kafka.connections  # noqa: F401 - it replaces how these clients connect

__all__ = ["AIOKafkaAdminClient", "AIOKafkaClient", "AIOKafkaConsumer", "AIOKafkaProducer"]
