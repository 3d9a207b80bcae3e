import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** DJL's tokenizer on the protocol of `encode --time`: seconds to read it, then for each file named. */
public class Djl {
    public static void main(String[] arguments) throws Exception {
        var watch = new Watch();
        var tokenizer = HuggingFaceTokenizer.newInstance(Path.of(arguments[0]));
        tokenizer.encode("Ready");
        System.out.println(watch);
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String name; (name = input.readLine()) != null; ) {
            var lines = Files.readAllLines(Path.of(name));
            watch = new Watch();
            for (String line : lines) tokenizer.encode(line);
            System.out.println(watch);
        }
    }

    /** Seconds since it was made: of the clock, and of this process on all cores. */
    private static class Watch {
        private final long clock = System.nanoTime();
        private final long process = processTime();

        private static long processTime() {
            return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
        }

        @Override
        public String toString() {
            return (System.nanoTime() - clock) / 1e9 + " " + (processTime() - process) / 1e9;
        }
    }
}
