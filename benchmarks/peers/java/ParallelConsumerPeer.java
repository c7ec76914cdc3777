import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.time.Duration;
import java.util.List;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Confluent's parallel-consumer: threads, the order of each key, commits each second. */
public final class ParallelConsumerPeer {
    public static void main(String[] arguments) throws Exception {
        Run run = new Run(arguments[0]);
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
            run.consumerConfig(), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        ParallelStreamProcessor<byte[], byte[]> processor =
            ParallelStreamProcessor.createEosStreamProcessor(
                ParallelConsumerOptions.<byte[], byte[]>builder()
                    .consumer(consumer)
                    .ordering(ProcessingOrder.KEY)
                    .maxConcurrency(run.number("workers"))
                    .commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
                    .commitInterval(Duration.ofSeconds(1))
                    .build());
        processor.subscribe(List.of(run.text("topic")));
        processor.poll(context -> run.handle(context.value()));
        run.await();
        run.report();
        processor.close(Duration.ofSeconds(5), io.confluent.parallelconsumer.internal.DrainingCloseable.DrainingMode.DONT_DRAIN);
        System.exit(0);
    }
}
