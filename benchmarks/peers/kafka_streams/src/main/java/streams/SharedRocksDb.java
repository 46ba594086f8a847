package streams;

import java.util.Map;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.Cache;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;
import org.rocksdb.WriteBufferManager;

/** One block cache and one budget of memtables for all stores, as the documentation of Kafka Streams teaches to bound memory. */
public final class SharedRocksDb implements RocksDBConfigSetter {
    private static Cache blocks;
    private static WriteBufferManager memtables;

    /** Sets the budgets, before the first store is opened. */
    static void share(long blockCacheBytes, long memtableBytes) {
        RocksDB.loadLibrary();
        blocks = new LRUCache(blockCacheBytes);
        memtables = new WriteBufferManager(memtableBytes, new LRUCache(memtableBytes));
    }

    @Override
    public void setConfig(String store, Options options, Map<String, Object> configs) {
        BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
        table.setBlockCache(blocks);
        table.setCacheIndexAndFilterBlocks(true);
        options.setTableFormatConfig(table);
        options.setWriteBufferManager(memtables);
    }

    @Override
    public void close(String store, Options options) {}
}
