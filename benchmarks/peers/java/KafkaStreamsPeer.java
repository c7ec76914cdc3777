import java.nio.file.Files;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;

/** Kafka Streams on one thread, commits each second. */
public final class KafkaStreamsPeer {
    public static void main(String[] arguments) throws Exception {
        Run run = new Run(arguments[0]);
        Properties config = new Properties();
        config.put("application.id", run.text("group"));
        config.put("bootstrap.servers", run.text("broker"));
        config.put("auto.offset.reset", "earliest");
        config.put("commit.interval.ms", "1000");
        config.put("num.stream.threads", "1");
        config.put("state.dir", Files.createTempDirectory("kafka-streams").toString());
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(run.text("topic"), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
            .foreach((key, value) -> run.handle(value));
        KafkaStreams streams = new KafkaStreams(builder.build(), config);
        streams.start();
        run.await();
        run.report();
        streams.close(java.time.Duration.ofSeconds(5));
        System.exit(0);
    }
}
