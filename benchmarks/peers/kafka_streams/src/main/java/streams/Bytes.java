package streams;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Reads and writes big-endian numbers and short texts at a place of an array. */
final class Bytes {
    private static final VarHandle SHORT = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.BIG_ENDIAN);
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.BIG_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);
    private static final int NO_TEXT = 0xffff;

    private Bytes() {}

    static int getShort(byte[] bytes, int at) {
        return (short) SHORT.get(bytes, at) & 0xffff;
    }

    static void putShort(byte[] bytes, int at, int value) {
        SHORT.set(bytes, at, (short) value);
    }

    static int getInt(byte[] bytes, int at) {
        return (int) INT.get(bytes, at);
    }

    static void putInt(byte[] bytes, int at, int value) {
        INT.set(bytes, at, value);
    }

    static long getLong(byte[] bytes, int at) {
        return (long) LONG.get(bytes, at);
    }

    static void putLong(byte[] bytes, int at, long value) {
        LONG.set(bytes, at, value);
    }

    /** A time takes 6 bytes. */
    static long getTime(byte[] bytes, int at) {
        return (long) getShort(bytes, at) << 32 | getInt(bytes, at + 2) & 0xffffffffL;
    }

    static void putTime(byte[] bytes, int at, long timeMs) {
        putShort(bytes, at, (int) (timeMs >>> 32));
        putInt(bytes, at + 2, (int) timeMs);
    }

    static byte[] utf8(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    static int sizeOfText(byte[] text) {
        return 2 + (text == null ? 0 : text.length);
    }

    /** Writes the length of a text, and the text; returns the place behind it. */
    static int putText(byte[] bytes, int at, byte[] text) {
        if (text == null) {
            putShort(bytes, at, NO_TEXT);
            return at + 2;
        }
        putShort(bytes, at, text.length);
        System.arraycopy(text, 0, bytes, at + 2, text.length);
        return at + 2 + text.length;
    }
}
