package streams;

import static streams.Bytes.getShort;
import static streams.Bytes.getTime;
import static streams.Bytes.putInt;
import static streams.Bytes.putShort;
import static streams.Bytes.putText;
import static streams.Bytes.putTime;
import static streams.Bytes.sizeOfText;
import static streams.Bytes.utf8;

/**
 * The row of `impressions`: the last lists that a user was shown, in log order.
 *
 * <p>A row is: u16 number of impressions, then each of them. An impression is: u16 its length, the time of its receipt and its own time
 * (6 bytes each), u32 item type, row and rank, u16 number of items, and texts: the items, scenario, variant, experiment, request id.
 */
final class ImpressionsRow {
    static final int MAX_IMPRESSIONS = 100;
    static final long KEEP_MS = 25L * 3_600_000;
    private static final int HEADER = 2;
    private static final int FIXED = 2 + 6 + 6 + 4 + 4 + 4 + 2;

    private ImpressionsRow() {}

    /** Returns the row after one more list, without what is too old or one too many. */
    static byte[] remember(byte[] before, RenderedEvent event) {
        int kept = before == null ? 0 : getShort(before, 0);
        int from = HEADER;
        long oldestMs = event.receivedMs - KEEP_MS;
        while (kept > 0 && (kept >= MAX_IMPRESSIONS || getTime(before, from + 2) < oldestMs)) {
            from += getShort(before, from);
            kept--;
        }
        int old = before == null ? 0 : before.length - from;
        byte[] scenario = utf8(event.scenario);
        byte[] variant = utf8(event.variant);
        byte[] experiment = utf8(event.experiment);
        byte[] requestId = utf8(event.requestId);
        int size = FIXED + sizeOfText(scenario) + sizeOfText(variant) + sizeOfText(experiment) + sizeOfText(requestId);
        for (int i = 0; i < event.itemCount; i++) {
            size += sizeOfText(event.items[i]);
        }
        byte[] row = new byte[HEADER + old + size];
        putShort(row, 0, kept + 1);
        if (old > 0) {
            System.arraycopy(before, from, row, HEADER, old);
        }
        int at = HEADER + old;
        putShort(row, at, size);
        putTime(row, at + 2, event.receivedMs);
        putTime(row, at + 8, event.timeMs);
        putInt(row, at + 14, event.itemtype);
        putInt(row, at + 18, event.row);
        putInt(row, at + 22, event.rank);
        putShort(row, at + 26, event.itemCount);
        at += FIXED;
        for (int i = 0; i < event.itemCount; i++) {
            at = putText(row, at, event.items[i]);
        }
        at = putText(row, at, scenario);
        at = putText(row, at, variant);
        at = putText(row, at, experiment);
        putText(row, at, requestId);
        return row;
    }
}
