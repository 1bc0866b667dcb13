import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.Optional;
import org.apache.spark.rdd.RDD;
import org.apache.spark.streaming.Duration;
import org.apache.spark.streaming.State;
import org.apache.spark.streaming.StateSpec;
import org.apache.spark.streaming.StreamingContext;
import org.apache.spark.streaming.Time;
import org.apache.spark.streaming.api.java.JavaDStream;
import org.apache.spark.streaming.api.java.JavaStreamingContext;
import org.apache.spark.streaming.dstream.InputDStream;
import org.apache.spark.streaming.scheduler.BatchInfo;
import org.apache.spark.streaming.scheduler.StreamingListener;
import org.apache.spark.streaming.scheduler.StreamingListenerBatchCompleted;
import org.apache.spark.streaming.scheduler.StreamingListenerBatchStarted;
import org.apache.spark.streaming.scheduler.StreamingListenerBatchSubmitted;
import org.apache.spark.streaming.scheduler.StreamingListenerOutputOperationCompleted;
import org.apache.spark.streaming.scheduler.StreamingListenerOutputOperationStarted;
import org.apache.spark.streaming.scheduler.StreamingListenerReceiverError;
import org.apache.spark.streaming.scheduler.StreamingListenerReceiverStarted;
import org.apache.spark.streaming.scheduler.StreamingListenerReceiverStopped;
import org.apache.spark.streaming.scheduler.StreamingListenerStreamingStarted;
import scala.Option;
import scala.Tuple2;
import scala.reflect.ClassTag$;

/**
 * The peer of interval-tidemark.ts, with the same arguments: intervalMs eventsPerSecond seconds checkpointFolder
 */
public final class SparkInterval {
  static final int DEVICES = 1_000;

  /** Static: what an instance of a stream makes would carry the stream along to the tasks. */
  static JavaRDD<Tuple2<String, Double>> events(JavaSparkContext context, long from, long to) {
    long middle = (from + to) / 2;
    List<Tuple2<Long, Long>> ranges = Arrays.asList(new Tuple2<>(from, middle), new Tuple2<>(middle, to));
    return context.parallelize(ranges, 2).mapPartitions(parts -> {
      if (!parts.hasNext()) return Collections.emptyIterator();
      Tuple2<Long, Long> range = parts.next();
      return new java.util.Iterator<Tuple2<String, Double>>() {
        long at = range._1();
        @Override public boolean hasNext() { return at < range._2(); }
        @Override public Tuple2<String, Double> next() {
          long number = at++;
          return new Tuple2<>("device-" + number % DEVICES, (number % 400) / 10.0);
        }
      };
    });
  }

  /** A batch has the events of its interval: as many as were due between its time and the one before. */
  static final class Events extends InputDStream<Tuple2<String, Double>> {
    private final long intervalMs;
    private final long perSecond;

    Events(StreamingContext context, long intervalMs, long perSecond) {
      super(context, ClassTag$.MODULE$.apply(Tuple2.class));
      this.intervalMs = intervalMs;
      this.perSecond = perSecond;
    }

    @Override public void start() {}
    @Override public void stop() {}

    @Override public Option<RDD<Tuple2<String, Double>>> compute(Time time) {
      long to = time.milliseconds() * perSecond / 1000;
      long from = (time.milliseconds() - intervalMs) * perSecond / 1000;
      return Option.apply(events(JavaSparkContext.fromSparkContext(context().sparkContext()), from, to).rdd());
    }
  }

  static final class Report implements StreamingListener {
    final long seconds;
    final List<String> batches = new ArrayList<>();
    long untilMs = -1;

    Report(long seconds) { this.seconds = seconds; }

    @Override public synchronized void onBatchCompleted(StreamingListenerBatchCompleted completed) {
      BatchInfo info = completed.batchInfo();
      long time = info.batchTime().milliseconds();
      long start = (Long) info.processingStartTime().get();
      long end = (Long) info.processingEndTime().get();
      if (untilMs < 0) untilMs = end + seconds * 1000;
      batches.add("[" + time + "," + (start - time) + "," + (end - time) + "," + cpuUs() + "]");
      if (end < untilMs) return;
      System.out.println("RESULT {\"batches\":[" + String.join(",", batches) + "]}");
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }

    /** Of the whole process so far: its compilers and collectors are part of the price. */
    private static long cpuUs() {
      return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1_000;
    }

    @Override public void onStreamingStarted(StreamingListenerStreamingStarted started) {}
    @Override public void onReceiverStarted(StreamingListenerReceiverStarted started) {}
    @Override public void onReceiverError(StreamingListenerReceiverError error) {}
    @Override public void onReceiverStopped(StreamingListenerReceiverStopped stopped) {}
    @Override public void onBatchSubmitted(StreamingListenerBatchSubmitted submitted) {}
    @Override public void onBatchStarted(StreamingListenerBatchStarted started) {}
    @Override public void onOutputOperationStarted(StreamingListenerOutputOperationStarted started) {}
    @Override public void onOutputOperationCompleted(StreamingListenerOutputOperationCompleted completed) {}
  }

  public static void main(String[] arguments) throws Exception {
    long intervalMs = Long.parseLong(arguments[0]);
    SparkConf conf = new SparkConf().setMaster("local[2]").setAppName("interval").set("spark.ui.enabled", "false");
    JavaStreamingContext context = new JavaStreamingContext(conf, new Duration(intervalMs));
    context.sparkContext().setLogLevel("ERROR");
    context.checkpoint(arguments[3]);
    context.addStreamingListener(new Report(Long.parseLong(arguments[2])));
    Events input = new Events(context.ssc(), intervalMs, Long.parseLong(arguments[1]));
    JavaDStream<Tuple2<String, Double>> events = JavaDStream.fromDStream(input, ClassTag$.MODULE$.apply(Tuple2.class));
    events
      .mapToPair(event -> event)
      .mapWithState(StateSpec.function((String device, Optional<Double> value, State<Double> highest) -> {
        double now = Math.max(value.get(), highest.exists() ? highest.get() : 0);
        highest.update(now);
        return new Tuple2<>(device, now);
      }))
      .foreachRDD(rdd -> { rdd.count(); });
    context.start();
    context.awaitTermination();
  }
}
