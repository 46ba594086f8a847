package streams;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** A `rendered` event of the journal, read by Jackson's streaming parser. Each task reuses one. */
final class RenderedEvent {
    private static final JsonFactory FACTORY = new JsonFactory();

    String customer;
    String scenario;
    String variant;
    String experiment;
    String requestId;
    long timeMs;
    long receivedMs;
    int itemtype;
    int row;
    int rank;
    byte[][] items = new byte[64][];
    int itemCount;

    /** Replaces what it holds by the event of a record. */
    void read(byte[] json) throws IOException {
        customer = scenario = variant = experiment = requestId = null;
        timeMs = receivedMs = 0;
        itemtype = 1;
        row = rank = -1;
        itemCount = 0;
        try (JsonParser parser = FACTORY.createParser(json)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new IOException("the record is no JSON object");
            }
            String name;
            while ((name = parser.nextFieldName()) != null) {
                switch (name) {
                    case "customer" -> customer = parser.nextTextValue();
                    case "time_ms" -> timeMs = parser.nextLongValue(0);
                    case "received_ms" -> receivedMs = parser.nextLongValue(0);
                    case "itemtype" -> itemtype = parser.nextIntValue(1);
                    case "scenario" -> scenario = parser.nextTextValue();
                    case "variant" -> variant = parser.nextTextValue();
                    case "experiment" -> experiment = parser.nextTextValue();
                    case "request_id" -> requestId = parser.nextTextValue();
                    case "row" -> row = parser.nextIntValue(-1);
                    case "rank" -> rank = parser.nextIntValue(-1);
                    case "items" -> readItems(parser);
                    default -> {
                        parser.nextToken();
                        parser.skipChildren();
                    }
                }
            }
        }
    }

    private void readItems(JsonParser parser) throws IOException {
        if (parser.nextToken() != JsonToken.START_ARRAY) {
            throw new IOException("items is no list");
        }
        while (parser.nextToken() == JsonToken.VALUE_STRING) {
            if (itemCount == items.length) {
                items = Arrays.copyOf(items, 2 * itemCount);
            }
            items[itemCount++] = parser.getText().getBytes(StandardCharsets.UTF_8);
        }
    }
}
