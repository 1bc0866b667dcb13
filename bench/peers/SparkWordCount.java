import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.Optional;
import org.apache.spark.rdd.RDD;
import org.apache.spark.streaming.Duration;
import org.apache.spark.streaming.StreamingContext;
import org.apache.spark.streaming.Time;
import org.apache.spark.streaming.api.java.JavaDStream;
import org.apache.spark.streaming.api.java.JavaPairDStream;
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
 * The peer of word-count-tidemark.ts: DStreams in Java, so that no Python is measured.
 * Arguments: words|state generated|files intervalMs linesPerBatch batches checkpointFolder inputFolder
 */
public final class SparkWordCount {
  static final int WORDS_PER_LINE = 10;
  // By batch time. A file stream says of every batch that it read no records, so the rows that came out tell whether any came
  // in. Static: what a function holds would be stored in the checkpoint.
  static final Map<Long, Long> ROWS = new ConcurrentHashMap<>();

  /** The same lines as the other side makes: word numbers from a linear congruential generator, squared towards zero. */
  static String line(long number, int vocabulary) {
    StringBuilder text = new StringBuilder(80);
    int seed = (int) (number * 747796405L + 2891336453L);
    for (int w = 0; w < WORDS_PER_LINE; w++) {
      seed = seed * 1664525 + 1013904223;
      double share = (seed >>> 8) / 16777216.0;
      if (w > 0) text.append(' ');
      text.append("word").append((int) (share * share * vocabulary));
    }
    return text.toString();
  }

  /** Static: what an instance of a stream makes would carry the stream along to the tasks. */
  static JavaRDD<String> generated(JavaSparkContext context, long from, long perBatch, int vocabulary) {
    long half = perBatch / 2;
    return context.parallelize(Arrays.asList(0, 1), 2).mapPartitions(parts -> {
      long start = from + parts.next() * half;
      return new java.util.Iterator<String>() {
        long at = start;
        @Override public boolean hasNext() { return at < start + half; }
        @Override public String next() { return line(at++, vocabulary); }
      };
    });
  }

  static final class GeneratedLines extends InputDStream<String> {
    private final long perBatch;
    private final int vocabulary;
    private long next = 0;

    GeneratedLines(StreamingContext context, long perBatch, int vocabulary) {
      super(context, ClassTag$.MODULE$.apply(String.class));
      this.perBatch = perBatch;
      this.vocabulary = vocabulary;
    }

    @Override public void start() {}
    @Override public void stop() {}

    @Override public Option<RDD<String>> compute(Time time) {
      long from = next;
      next += perBatch;
      JavaRDD<String> rows = generated(JavaSparkContext.fromSparkContext(context().sparkContext()), from, perBatch, vocabulary);
      return Option.apply(rows.rdd());
    }
  }

  static final class Report implements StreamingListener {
    final long startedMs = ManagementFactory.getRuntimeMXBean().getStartTime();
    final List<long[]> batches = new ArrayList<>();
    final int wanted;
    long firstBatchMs = -1;
    long waitedMs = 0;
    long readyMs = 0;

    Report(int wanted) { this.wanted = wanted; }

    @Override public void onBatchCompleted(StreamingListenerBatchCompleted completed) {
      BatchInfo info = completed.batchInfo();
      if (firstBatchMs < 0) {
        firstBatchMs = System.currentTimeMillis() - startedMs;
        waitedMs = Math.max(0, info.batchTime().milliseconds() - readyMs);
      }
      if (ROWS.remove(info.batchTime().milliseconds()) == 0) return;
      batches.add(new long[] {(Long) info.processingDelay().get(), (Long) info.totalDelay().get(), cpuUs(), memoryKb("VmRSS")});
      if (batches.size() == wanted) finish();
    }

    /** Of the whole process so far: its compilers and collectors are part of the price. */
    private static long cpuUs() {
      return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1_000;
    }

    private static long memoryKb(String name) {
      try {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
          .filter(text -> text.startsWith(name)).mapToLong(text -> Long.parseLong(text.replaceAll("\\D", ""))).findFirst().orElse(0);
      } catch (java.io.IOException error) {
        return 0;
      }
    }

    private void finish() {
      try {
        StringBuilder text = new StringBuilder();
        for (long[] batch : batches) text.append(text.length() == 0 ? "" : ",").append("{\"processingMs\":").append(batch[0]).append(",\"totalMs\":").append(batch[1]).append(",\"cpuUs\":").append(batch[2]).append(",\"rssKb\":").append(batch[3]).append('}');
        System.out.println("RESULT {\"firstBatchMs\":" + firstBatchMs + ",\"waitedMs\":" + waitedMs + ",\"peakKb\":" + memoryKb("VmHWM") + ",\"batches\":[" + text + "]}");
        System.out.flush();
      } catch (Exception error) {
        error.printStackTrace();
      }
      Runtime.getRuntime().halt(0);
    }

    @Override public void onStreamingStarted(StreamingListenerStreamingStarted started) { readyMs = started.time(); }
    @Override public void onReceiverStarted(StreamingListenerReceiverStarted started) {}
    @Override public void onReceiverError(StreamingListenerReceiverError error) {}
    @Override public void onReceiverStopped(StreamingListenerReceiverStopped stopped) {}
    @Override public void onBatchSubmitted(StreamingListenerBatchSubmitted submitted) {}
    @Override public void onBatchStarted(StreamingListenerBatchStarted started) {}
    @Override public void onOutputOperationStarted(StreamingListenerOutputOperationStarted started) {}
    @Override public void onOutputOperationCompleted(StreamingListenerOutputOperationCompleted completed) {}
  }

  public static void main(String[] arguments) throws Exception {
    boolean keepsState = arguments[0].equals("state");
    boolean generates = arguments[1].equals("generated");
    long intervalMs = Long.parseLong(arguments[2]);
    long linesPerBatch = Long.parseLong(arguments[3]);
    int batches = Integer.parseInt(arguments[4]);
    int vocabulary = 20_000;

    SparkConf conf = new SparkConf().setMaster("local[2]").setAppName("word-count").set("spark.ui.enabled", "false");
    JavaStreamingContext context = new JavaStreamingContext(conf, new Duration(intervalMs));
    context.sparkContext().setLogLevel("ERROR");
    context.checkpoint(arguments[5]);
    context.addStreamingListener(new Report(batches));
    JavaDStream<String> lines = generates
      ? JavaDStream.fromDStream(new GeneratedLines(context.ssc(), linesPerBatch, vocabulary), ClassTag$.MODULE$.apply(String.class))
      : context.textFileStream(arguments[6]);
    JavaPairDStream<String, Long> pairs = lines
      .flatMap(text -> Arrays.asList(text.split(" ")).iterator())
      .mapToPair(word -> new Tuple2<>(word, 1L));
    JavaPairDStream<String, Long> counts = keepsState
      ? pairs.reduceByKey(Long::sum).updateStateByKey((values, before) -> {
          long total = before.isPresent() ? (Long) before.get() : 0L;
          for (Long value : values) total += value;
          return Optional.of(total);
        })
      : pairs.reduceByKey(Long::sum);
    counts.foreachRDD((rdd, time) -> { ROWS.put(time.milliseconds(), rdd.count()); });
    context.start();
    context.awaitTermination();
  }
}
