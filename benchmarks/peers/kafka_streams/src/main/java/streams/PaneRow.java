package streams;

import static streams.Bytes.getLong;
import static streams.Bytes.putLong;
import static streams.Bytes.utf8;

/** The pane of a scenario and minute: when it began, when its last event was received, its version, and eight counters. */
final class PaneRow {
    private static final int RECEIVED = 8;
    private static final int VERSION = 16;
    private static final int SHOWN = 24;
    private static final int SIZE = SHOWN + 8 * 8;
    private static final long MINUTE_MS = 60_000;

    private PaneRow() {}

    /** Returns the key of the pane in which an event counts. */
    static byte[] key(RenderedEvent event) {
        String scenario = event.scenario == null ? "unknown" : event.scenario;
        return utf8(event.customer + '\u001f' + scenario + '\u001f' + event.timeMs / MINUTE_MS);
    }

    /** Returns the row after one more list. */
    static byte[] count(byte[] before, RenderedEvent event) {
        byte[] row = before == null ? new byte[SIZE] : before.clone();
        if (before == null) {
            putLong(row, 0, event.receivedMs);
        }
        putLong(row, RECEIVED, Math.max(getLong(row, RECEIVED), event.receivedMs));
        putLong(row, VERSION, getLong(row, VERSION) + 1);
        putLong(row, SHOWN, getLong(row, SHOWN) + event.itemCount);
        return row;
    }
}
