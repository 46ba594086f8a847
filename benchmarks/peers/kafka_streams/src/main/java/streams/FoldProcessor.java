package streams;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Folds `rendered` events into the three stores of a task. */
final class FoldProcessor implements Processor<byte[], byte[], Void, Void> {
    static final String RENDERED = "rendered";
    static final String IMPRESSIONS = "impressions";
    static final String PANES = "panes";

    /** What benchmarks/peers/arguments.py waits for: the clocks start. */
    private static final String READY = "the first event is here";

    private static final AtomicBoolean IS_FIRST = new AtomicBoolean(true);

    private final RenderedEvent event = new RenderedEvent();
    private final ShownRow shown = new ShownRow();
    private KeyValueStore<byte[], byte[]> rendered;
    private KeyValueStore<byte[], byte[]> impressions;
    private KeyValueStore<byte[], byte[]> panes;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        rendered = context.getStateStore(RENDERED);
        impressions = context.getStateStore(IMPRESSIONS);
        panes = context.getStateStore(PANES);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        if (IS_FIRST.get() && IS_FIRST.compareAndSet(true, false)) {
            System.out.println(READY);
        }
        try {
            event.read(record.value());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        byte[] user = record.key();
        rendered.put(user, shown.show(rendered.get(user), event));
        impressions.put(user, ImpressionsRow.remember(impressions.get(user), event));
        byte[] pane = PaneRow.key(event);
        panes.put(pane, PaneRow.count(panes.get(pane), event));
    }
}
