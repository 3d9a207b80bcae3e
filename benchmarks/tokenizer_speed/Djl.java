import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;

/** DJL's tokenizer on the protocol of `encode --time`: seconds to read it, then for each file named. */
public class Djl {
    public static void main(String[] arguments) throws Exception {
        long start = System.nanoTime();
        var tokenizer = HuggingFaceTokenizer.newInstance(Path.of(arguments[0]));
        tokenizer.encode("Ready");
        System.out.println((System.nanoTime() - start) / 1e9);
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String name; (name = input.readLine()) != null; ) {
            var lines = Files.readAllLines(Path.of(name));
            start = System.nanoTime();
            for (String line : lines) tokenizer.encode(line);
            System.out.println((System.nanoTime() - start) / 1e9);
        }
    }
}
