package streams;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** Rows hold what a plain map holds, whatever the order of the events. */
final class RowsTest {
    private static final long START_MS = 1_700_000_000_000L;

    /** What a map knows of an item: its showings. */
    private static final class Showings {
        final List<Long> times = new ArrayList<>();
    }

    private static RenderedEvent event(long timeMs, String... items) throws IOException {
        RenderedEvent event = new RenderedEvent();
        event.read(("{\"type\":\"rendered\",\"customer\":\"00000\",\"user\":\"u\",\"scenario\":\"home\",\"time_ms\":" + timeMs
                        + ",\"received_ms\":" + timeMs + ",\"items\":[\"" + String.join("\",\"", items) + "\"]}")
                .getBytes(StandardCharsets.UTF_8));
        return event;
    }

    /** Returns item -> showings that a row holds, in its order. */
    private static Map<String, Integer> counted(byte[] row) {
        Map<String, Integer> found = new LinkedHashMap<>();
        for (int at = 2; at < row.length; at += Bytes.getShort(row, at)) {
            int length = row[at + 2] & 0xff;
            int times = row[at + 3] & 0x7f;
            int total = row[at + 3] < 0 ? Bytes.getInt(row, at + 4 + length + 6 * times) : times;
            found.put(new String(row, at + 4, length, StandardCharsets.UTF_8), total);
        }
        assertEquals(Bytes.getShort(row, 0), found.size());
        return found;
    }

    @Test
    void rowCountsWhatMapCounts() throws IOException {
        Random random = new Random(1);
        ShownRow rows = new ShownRow();
        byte[] row = null;
        Map<String, Showings> expected = new LinkedHashMap<>();
        for (int number = 0; number < 3_000; number++) {
            String[] items = random.ints(4, 0, 60).mapToObj(Integer::toString).toArray(String[]::new);
            long timeMs = START_MS + random.nextInt(100_000);
            row = rows.show(row, event(timeMs, items));
            for (String item : new LinkedHashSet<>(List.of(items))) {
                Showings showings = expected.remove("1/" + item);
                showings = showings == null ? new Showings() : showings;
                showings.times.add(timeMs);
                expected.put("1/" + item, showings);
            }
        }
        Map<String, Integer> found = counted(row);
        assertEquals(List.copyOf(expected.keySet()), List.copyOf(found.keySet()));
        expected.forEach((item, showings) -> assertEquals(showings.times.size(), found.get(item)));
        assertTimes(row, expected);
    }

    /** Asserts that the last times of each item are there, ascending, with the first of all. */
    private static void assertTimes(byte[] row, Map<String, Showings> expected) {
        for (int at = 2; at < row.length; at += Bytes.getShort(row, at)) {
            int length = row[at + 2] & 0xff;
            int kept = row[at + 3] & 0x7f;
            List<Long> times = expected.get(new String(row, at + 4, length, StandardCharsets.UTF_8)).times;
            times.sort(null);
            assertEquals(Math.min(ShownRow.MAX_TIMES, times.size()), kept);
            for (int i = 0; i < kept; i++) {
                assertEquals(times.get(times.size() - kept + i), Bytes.getTime(row, at + 4 + length + 6 * i));
            }
            if (row[at + 3] < 0) {
                assertEquals(times.get(0), Bytes.getTime(row, at + 4 + length + 6 * kept + 4));
            }
        }
    }

    @Test
    void itemsTouchedLongestAgoAreDropped() throws IOException {
        ShownRow rows = new ShownRow();
        byte[] row = null;
        for (int item = 0; item < ShownRow.MAX_ITEMS + 3; item++) {
            row = rows.show(row, event(START_MS, Integer.toString(item)));
        }
        Map<String, Integer> found = counted(row);
        assertEquals(ShownRow.MAX_ITEMS, found.size());
        assertFalse(found.containsKey("1/2"));
        assertTrue(found.containsKey("1/3"));
    }

    /** Returns the times of the impressions of a row, in its order. */
    private static List<Long> impressionTimes(byte[] row) {
        List<Long> found = new ArrayList<>();
        for (int at = 2; at < row.length; at += Bytes.getShort(row, at)) {
            found.add(Bytes.getTime(row, at + 8));
        }
        assertEquals(Bytes.getShort(row, 0), found.size());
        return found;
    }

    @Test
    void lastImpressionsStayInOrder() throws IOException {
        byte[] row = null;
        for (int number = 0; number < ImpressionsRow.MAX_IMPRESSIONS + 20; number++) {
            row = ImpressionsRow.remember(row, event(START_MS + number, "12", "x"));
        }
        assertEquals(
                LongStream.range(20, ImpressionsRow.MAX_IMPRESSIONS + 20).mapToObj(number -> START_MS + number).toList(),
                impressionTimes(row));
        String text = new String(row, StandardCharsets.ISO_8859_1);
        assertTrue(text.contains("\0\u000212\0\u0001x\0\u0004home"), text);
    }

    @Test
    void oldImpressionsAreDropped() throws IOException {
        byte[] row = ImpressionsRow.remember(null, event(START_MS, "1"));
        row = ImpressionsRow.remember(row, event(START_MS + ImpressionsRow.KEEP_MS, "1"));
        assertEquals(2, impressionTimes(row).size());
        row = ImpressionsRow.remember(row, event(START_MS + ImpressionsRow.KEEP_MS + 1, "1"));
        assertEquals(List.of(START_MS + ImpressionsRow.KEEP_MS, START_MS + ImpressionsRow.KEEP_MS + 1), impressionTimes(row));
    }

    @Test
    void paneSumsTheItemsOfItsMinute() throws IOException {
        RenderedEvent first = event(START_MS, "1", "2");
        byte[] row = PaneRow.count(PaneRow.count(null, first), event(START_MS + 1, "3"));
        assertEquals(3, Bytes.getLong(row, 24));
        assertEquals(START_MS + 1, Bytes.getLong(row, 8));
        assertArrayEquals(PaneRow.key(first), PaneRow.key(event(START_MS + 1, "3")));
        assertFalse(Arrays.equals(PaneRow.key(first), PaneRow.key(event(START_MS + 60_000, "3"))));
    }
}
