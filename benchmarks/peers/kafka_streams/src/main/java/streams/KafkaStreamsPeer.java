package streams;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams as its documentation teaches the Processor API: one processor with three stores on RocksDB, cached and with changelogs.
 *
 * <p>Keys and values are bytes, so nothing is serialized twice. The consumer and the producer may take large batches. Compressed batches
 * take no more CPU here.
 */
public final class KafkaStreamsPeer {
    private static final String BATCH_BYTES = "524288";
    private static final String POLL_RECORDS = "5000";
    private static final String LINGER_MS = "100";
    private static final String SEND_BUFFER_BYTES = "134217728";

    private KafkaStreamsPeer() {}

    public static void main(String[] arguments) throws InterruptedException {
        Map<String, String> told = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            told.put(arguments[i], arguments[i + 1]);
        }
        SharedRocksDb.share(Long.parseLong(told.get("--block-cache-bytes")), Long.parseLong(told.get("--memtable-bytes")));
        KafkaStreams streams = new KafkaStreams(topology(told.get("--topic")), settings(told));
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
                ended.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(8))));
        streams.start();
        ended.await();
    }

    private static Topology topology(String journal) {
        Serde<byte[]> bytes = Serdes.ByteArray();
        Topology topology = new Topology();
        topology.addSource("journal", bytes.deserializer(), bytes.deserializer(), journal);
        topology.addProcessor("fold", FoldProcessor::new, "journal");
        for (String store : List.of(FoldProcessor.RENDERED, FoldProcessor.IMPRESSIONS, FoldProcessor.PANES)) {
            topology.addStateStore(
                    Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(store), bytes, bytes)
                            .withCachingEnabled()
                            .withLoggingEnabled(Map.of()),
                    "fold");
        }
        return topology;
    }

    private static Properties settings(Map<String, String> told) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, told.get("--name"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, told.get("--kafka"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, told.get("--state-dir"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, told.get("--guarantee"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, told.get("--threads"));
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, told.get("--commit-ms"));
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, told.get("--cache-bytes"));
        settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, SharedRocksDb.class);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, POLL_RECORDS);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), POLL_RECORDS);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), LINGER_MS);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), BATCH_BYTES);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), SEND_BUFFER_BYTES);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        return settings;
    }
}
