import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.management.ManagementFactory;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import java.util.zip.CRC32;

/** One run of a JVM peer: what `benchmarks/peers/common.py` is for Python. */
final class Run {
    private static final long PATIENCE = 30_000_000_000L;
    private final ObjectMapper json = new ObjectMapper();
    private final JsonNode task;
    private final int records;
    private final int keys;
    private final boolean sleeps;
    private final boolean spins;
    private final long sleepNanos;
    private final int skipped;
    private final boolean hot;
    private final int stuck;
    private final long stuckNanos;
    private final MappedByteBuffer journal;
    private final AtomicIntegerArray counts;
    private final AtomicIntegerArray running;
    private final AtomicIntegerArray last;
    private final LongAdder done = new LongAdder();
    private final LongAdder violations = new LongAdder();
    private final AtomicLong first = new AtomicLong();
    private double seconds;
    private double cpu;

    Run(String text) throws IOException {
        task = json.readTree(text);
        records = number("records");
        keys = number("keys");
        String work = task.get("work").asText();
        sleeps = work.equals("sleep") || work.equals("await");
        spins = work.equals("spin");
        sleepNanos = (long) (task.get("ms").asDouble() * 1e6);
        skipped = number("skipped");
        hot = task.get("hot").asBoolean();
        stuck = number("stuck");
        stuckNanos = (long) (task.get("stuck_seconds").asDouble() * 1e9);
        journal = open(text("journal"));
        counts = new AtomicIntegerArray(records);
        running = new AtomicIntegerArray(keys);
        last = new AtomicIntegerArray(keys);
    }

    private static MappedByteBuffer open(String path) throws IOException {
        if (path.isEmpty()) {
            return null;
        }
        try (RandomAccessFile file = new RandomAccessFile(path, "rw")) {
            MappedByteBuffer map =
                file.getChannel().map(FileChannel.MapMode.READ_WRITE, 0, file.length());
            map.order(ByteOrder.nativeOrder());
            return map;
        }
    }

    String text(String name) {
        return task.get(name).asText();
    }

    int number(String name) {
        return task.get(name).asInt();
    }

    /** Settings of a consumer, the same for all. */
    Properties consumerConfig() {
        Properties config = new Properties();
        config.put("bootstrap.servers", text("broker"));
        config.put("group.id", text("group"));
        config.put("auto.offset.reset", "earliest");
        config.put("session.timeout.ms", text("session_ms"));
        config.put("enable.auto.commit", "false");
        config.put("max.poll.records", "1000");
        return config;
    }

    /** The handler: parse, do the work, note order and loss. */
    void handle(byte[] value) {
        if (first.get() == 0) {
            first.compareAndSet(0, System.nanoTime());
        }
        try {
            int number = json.readTree(value).get("n").asInt();
            int key = keyOf(number);
            if (running.getAndIncrement(key) != 0 || last.getAndSet(key, number) > number) {
                violations.increment();
            }
            long began = System.nanoTime();
            if (number == stuck) {
                sleep(stuckNanos);
            } else if (sleeps) {
                sleep(sleepNanos);
            } else if (spins) {
                while (System.nanoTime() - began < sleepNanos) {
                    Thread.onSpinWait();
                }
            }
            if (journal != null) {
                note(number, began);
            }
            running.decrementAndGet(key);
            if (counts.incrementAndGet(number) == 1) {
                done.increment();
            }
        } catch (IOException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void sleep(long nanos) throws InterruptedException {
        Thread.sleep(nanos / 1_000_000, (int) (nanos % 1_000_000));
    }

    /** As `Journal.ended`: System.nanoTime is the clock of Python's time.monotonic_ns. */
    private void note(int number, long began) {
        journal.putLong(16 * number, began);
        journal.putLong(16 * number + 8, System.nanoTime());
        int place = 16 * records + number;
        journal.put(place, (byte) Math.min((journal.get(place) & 0xff) + 1, 255));
    }

    private int keyOf(int number) {
        if (hot && number % 2 == 0 && number >= skipped) {
            return 0;
        }
        CRC32 crc = new CRC32();
        crc.update(Integer.toString(number).getBytes(StandardCharsets.US_ASCII));
        return (int) (crc.getValue() % keys);
    }

    /** Returns when all is handled, or nothing comes any more. */
    void await() throws InterruptedException {
        long progressed = System.nanoTime();
        long before = 0;
        double cpuBefore = -1;
        while (true) {
            long now = System.nanoTime();
            long count = done.sum();
            if (count > before) {
                before = count;
                progressed = now;
                cpuBefore = cpuBefore < 0 ? cpuSeconds() : cpuBefore;
            }
            if (count >= records || now - progressed > PATIENCE) {
                break;
            }
            Thread.sleep(10);
        }
        seconds = (progressed - first.get()) / 1e9;
        cpu = cpuSeconds() - Math.max(cpuBefore, 0);
    }

    private static double cpuSeconds() {
        var system = (com.sun.management.OperatingSystemMXBean)
            ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    /** Prints what was done, as one line of JSON. */
    void report() throws IOException {
        long handled = done.sum();
        int lost = 0;
        int twice = 0;
        for (int number = 0; number < records; number++) {
            lost += counts.get(number) == 0 ? 1 : 0;
            twice += counts.get(number) > 1 ? 1 : 0;
        }
        Map<String, Object> found = new TreeMap<>();
        found.put("records", handled);
        found.put("seconds", seconds);
        found.put("rate", handled / seconds);
        found.put("cpu_us", cpu * 1e6 / Math.max(handled, 1));
        found.put("violations", violations.sum());
        found.put("lost", lost);
        found.put("twice", twice);
        System.out.println(json.writeValueAsString(found));
        System.out.flush();
    }
}
