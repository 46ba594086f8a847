package streams;

import static streams.Bytes.getInt;
import static streams.Bytes.getShort;
import static streams.Bytes.getTime;
import static streams.Bytes.putInt;
import static streams.Bytes.putShort;
import static streams.Bytes.putTime;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The row of `rendered`: how often a user was shown each item, and when. It is changed in a scratch buffer, and no part of it becomes an
 * object. Each task has one instance.
 *
 * <p>A row is: u16 number of entries, then the entries in touch order, the latest last. An entry is: u16 its length, u8 length of the
 * key, u8 number of times (| 0x80 if a total follows), the key, the times (6 bytes each, ascending), and [u32 total, time of the first
 * showing].
 */
final class ShownRow {
    static final int MAX_TIMES = 16;
    static final int MAX_ITEMS = 2_000;
    private static final int HEADER = 2;
    private static final int ENTRY_HEADER = 4;
    private static final int TIME = 6;
    private static final int TOTAL = 4 + TIME;
    private static final int HAS_TOTAL = 0x80;

    private byte[] row = new byte[1 << 16];
    private byte[] key = new byte[1 << 10];
    private int end;

    /** Returns the row after one more list. An item that is listed twice is one showing. */
    byte[] show(byte[] before, RenderedEvent event) {
        open(before);
        int ofThisList = end; // what follows was touched by this list
        byte[] type = Integer.toString(event.itemtype).getBytes(StandardCharsets.US_ASCII);
        for (int i = 0; i < event.itemCount; i++) {
            int length = takeKey(type, event.items[i]);
            makeRoom(ENTRY_HEADER + length + (MAX_TIMES + 1) * TIME + TOTAL);
            int at = find(length);
            if (at >= ofThisList && at < end) {
                continue;
            }
            if (at == end) {
                append(length, event.timeMs);
            } else {
                ofThisList -= getShort(row, at);
                moveToEnd(at, event.timeMs);
            }
        }
        dropOldest();
        return Arrays.copyOf(row, end);
    }

    private void open(byte[] before) {
        if (before == null) {
            end = HEADER;
            Arrays.fill(row, 0, HEADER, (byte) 0);
            return;
        }
        end = 0;
        makeRoom(before.length);
        System.arraycopy(before, 0, row, 0, before.length);
        end = before.length;
    }

    private void makeRoom(int bytes) {
        if (end + bytes > row.length) {
            row = Arrays.copyOf(row, 2 * (end + bytes));
        }
    }

    private int takeKey(byte[] type, byte[] item) {
        int length = type.length + 1 + item.length;
        System.arraycopy(type, 0, key, 0, type.length);
        key[type.length] = '/';
        System.arraycopy(item, 0, key, type.length + 1, item.length);
        return length;
    }

    /** Returns the place of the entry of the key, or the end. */
    private int find(int length) {
        byte[] bytes = row;
        byte[] wanted = key;
        byte last = wanted[length - 1];
        int at = HEADER;
        while (at < end) {
            if ((bytes[at + 2] & 0xff) == length
                    && bytes[at + ENTRY_HEADER + length - 1] == last
                    && Arrays.equals(bytes, at + ENTRY_HEADER, at + ENTRY_HEADER + length, wanted, 0, length)) {
                return at;
            }
            at += getShort(bytes, at);
        }
        return end;
    }

    private void append(int length, long timeMs) {
        int size = ENTRY_HEADER + length + TIME;
        putShort(row, end, size);
        row[end + 2] = (byte) length;
        row[end + 3] = 1;
        System.arraycopy(key, 0, row, end + ENTRY_HEADER, length);
        putTime(row, end + ENTRY_HEADER + length, timeMs);
        end += size;
        putShort(row, 0, getShort(row, 0) + 1);
    }

    /** Puts a changed copy of an entry behind the last one, and moves up what followed the entry. */
    private void moveToEnd(int at, long timeMs) {
        int size = getShort(row, at);
        System.arraycopy(row, at, row, end, size);
        int grown = showAgain(end, size, timeMs);
        System.arraycopy(row, at + size, row, at, end + grown - at - size);
        end += grown - size;
    }

    /** Counts a showing in the entry at a place with nothing behind it; returns its new size. */
    private int showAgain(int at, int size, long timeMs) {
        int kept = row[at + 3] & 0x7f;
        boolean hasTotal = (row[at + 3] & HAS_TOTAL) != 0;
        int times = at + ENTRY_HEADER + (row[at + 2] & 0xff);
        int place = kept;
        while (place > 0 && getTime(row, times + TIME * (place - 1)) > timeMs) {
            place--;
        }
        int numbers = times + TIME * kept;
        if (kept < MAX_TIMES) {
            int from = times + TIME * place;
            System.arraycopy(row, from, row, from + TIME, at + size - from);
            putTime(row, from, timeMs);
            row[at + 3] = (byte) (kept + 1);
            putShort(row, at, size + TIME);
            return size + TIME;
        }
        if (!hasTotal) {
            putInt(row, numbers, kept);
            putTime(row, numbers + 4, getTime(row, times));
            row[at + 3] |= (byte) HAS_TOTAL;
            size += TOTAL;
            putShort(row, at, size);
        }
        putInt(row, numbers, getInt(row, numbers) + 1);
        if (timeMs < getTime(row, numbers + 4)) {
            putTime(row, numbers + 4, timeMs);
        }
        if (place > 0) {
            System.arraycopy(row, times + TIME, row, times, TIME * (place - 1));
            putTime(row, times + TIME * (place - 1), timeMs);
        }
        return size;
    }

    /** Drops the items that were touched longest ago, until at most MAX_ITEMS are left. */
    private void dropOldest() {
        int excess = getShort(row, 0) - MAX_ITEMS;
        if (excess <= 0) {
            return;
        }
        int at = HEADER;
        for (int i = 0; i < excess; i++) {
            at += getShort(row, at);
        }
        System.arraycopy(row, at, row, HEADER, end - at);
        end -= at - HEADER;
        putShort(row, 0, MAX_ITEMS);
    }
}
