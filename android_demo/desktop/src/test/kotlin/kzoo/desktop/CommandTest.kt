package kzoo.desktop

import java.io.File
import java.util.concurrent.TimeUnit
import kzoo.core.bundle.TOKENIZER
import kzoo.core.json.Json
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The command in a process of its own, as a user runs it. */
class CommandTest {
    private class Ran(val code: Int, val out: String, val err: String)

    private fun run(vararg arguments: String, input: ByteArray = ByteArray(0), java: List<String> = emptyList()): Ran {
        val program = File(System.getProperty("java.home"), "bin/java").path
        val command = listOf(program) + java + listOf("-cp", System.getProperty("java.class.path"), "kzoo.desktop.Main") + arguments
        val folder = createTempDir()
        val files = listOf("in", "out", "err").map { File(folder, it) }
        files[0].writeBytes(input)
        val process = ProcessBuilder(command).redirectInput(files[0]).redirectOutput(files[1]).redirectError(files[2]).start()
        assertTrue(process.waitFor(120, TimeUnit.SECONDS))
        // The engine's own news, which begins with INFO, is not ours to silence.
        val err = files[2].readLines().filter { !it.startsWith("INFO: ") }.joinToString("\n")
        return Ran(process.exitValue(), files[1].readText(), err).also { folder.deleteRecursively() }
    }

    private fun createTempDir() = java.nio.file.Files.createTempDirectory("kzoo").toFile()

    private val bundle = RealBundle.folder.path

    @Test
    fun `predict answers every line`() {
        val ran = run("predict", bundle, input = "A wonderful film.\r\n\nDull and \u00e9mpty \uD83D\uDE00.\n\n".toByteArray())
        assertEquals("", ran.err)
        assertEquals(0, ran.code)
        val answers = ran.out.trimEnd('\n').split('\n').map { Json.parse(it) as Map<*, *> }
        assertEquals(listOf("A wonderful film.", "", "Dull and \u00e9mpty \uD83D\uDE00."), answers.map { it["text"] })
        assertEquals(listOf("positive", "negative"), listOf(answers[0]["label"], answers[2]["label"]))
        assertEquals(listOf("text", "tokens", "truncated", "label", "score", "scores"), answers[0].keys.toList())
        val scores = answers[0]["scores"] as Map<*, *>
        assertEquals(listOf("negative", "positive"), scores.keys.toList())
        assertEquals(scores["positive"], answers[0]["score"])
        assertEquals(6L, answers[0]["tokens"])
    }

    @Test
    fun `predict reads pairs`() {
        val ran = run("predict", bundle, "--pairs", input = "[\"It was\", \"a waste\\tof time\"]\nIt was\tlovely\n".toByteArray())
        val answers = ran.out.trim().split('\n').map { Json.parse(it) as Map<*, *> }
        assertEquals(listOf(listOf("It was", "a waste\tof time"), listOf("It was", "lovely")), answers.map { it["text"] })
        failing("two texts", "predict", bundle, "--pairs", input = "[\"one\"]".toByteArray())
    }

    @Test
    fun `answers before a bad line are kept`() {
        val tokenizer = File(bundle, TOKENIZER).path
        val bad = "good\nb\u00e4d\n".toByteArray() + byteArrayOf(97, -1, 10)
        val pairs = "a\tb\n[\"c\", \"d\"]\nalone\n".toByteArray()
        for (ran in listOf(run("predict", bundle, input = bad), run("encode", tokenizer, input = bad))) {
            assertEquals(2, ran.code)
            assertEquals("error: Line 3 of standard input is not UTF-8: convert it first.", ran.err)
            assertEquals(2, ran.out.trimEnd('\n').lines().count { Json.parse(it) is Map<*, *> }, ran.out)
        }
        val pair = run("predict", bundle, "--pairs", input = pairs)
        assertTrue("expected two texts" in pair.err && pair.code == 2, pair.err)
        assertEquals(2, pair.out.trimEnd('\n').lines().size)
        val quoted = run("encode", tokenizer, "--json", input = "\"a\"\n7\n".toByteArray())
        assertTrue("each line is a JSON string" in quoted.err && quoted.code == 2, quoted.err)
        assertEquals(1, quoted.out.trimEnd('\n').lines().size)
    }

    @Test
    fun `a name that the locale can't read is a sentence with the cause`() {
        val folder = File(createTempDir(), "w\u00E4\u4E16")
        File(bundle).copyRecursively(folder)
        val argument = "'${folder.path}'" // The bytes of the name reach Java by a shell: this Java may have another locale.
        val script = File(folder.parentFile, "run.sh")
        fun ran(locale: String, vararg rest: String): Ran {
            val java = File(System.getProperty("java.home"), "bin/java").path
            script.writeText("LC_ALL=$locale exec $java -cp '${System.getProperty("java.class.path")}' kzoo.desktop.Main ${rest.joinToString(" ")} $argument\n")
            val process = ProcessBuilder("sh", script.path).redirectInput(ProcessBuilder.Redirect.from(File("/dev/null"))).start()
            val err = process.errorStream.reader().readLines().filter { !it.startsWith("INFO: ") }.joinToString("\n")
            return Ran(process.waitFor(), "", err)
        }
        val found = ran("C.UTF-8", "verify")
        assertEquals(0, found.code, found.err)
        val named = ran("C", "verify")
        assertTrue(named.code == 2 && "Java reads names by the locale" in named.err && "LC_ALL" in named.err, named.err)
        assertEquals(1, named.err.lines().size)
        folder.parentFile.deleteRecursively()
    }

    @Test
    fun `both commands see the same lines`() {
        val input = "\uFEFFgood\rfilm\r\n\nbad\u2028day".toByteArray()
        val texts = run("predict", bundle, input = input).out.trimEnd('\n').lines().map { (Json.parse(it) as Map<*, *>)["text"] }
        assertEquals(listOf("good\rfilm", "", "bad\u2028day"), texts)
        val encoded = run("encode", File(bundle, TOKENIZER).path, input = input).out.trimEnd('\n').lines()
        assertEquals(
            listOf(listOf("good", "film"), emptyList(), listOf("bad", "day")),
            encoded.map { ((Json.parse(it) as Map<*, *>)["tokens"] as List<*>).drop(1).dropLast(1) },
        )
    }

    @Test
    fun `verify runs the golden examples`(@TempDir folder: File) {
        val ran = run("verify", bundle)
        assertEquals(0, ran.code, ran.err)
        assertTrue(ran.out.lines().count { it.startsWith("ok") } >= 13, ran.out)
        failing("needs TensorFlow Lite", "verify", bundle, "--runtime", "tflite-2.3.0")
        assertEquals(0, run("verify", bundle, "--runtime", "litert-1.4.2").code)
        failing("kzoo.json", "verify", File(folder, "none").apply { mkdir() }.path)
        val other = RealBundle.changed(File(folder, "b")) { manifest ->
            manifest["golden"] = (manifest["golden"] as List<*>).map { it as Map<*, *> + ("text" to "Another text.") }
        }
        val empty = RealBundle.changed(File(folder, "c")) { it["golden"] = emptyList<Any>() }
        val unproved = run("verify", empty.path)
        assertEquals("error: ${empty.path}/kzoo.json holds 0 golden examples; at least 6 are expected: export anew.", unproved.err)
        assertEquals(2, unproved.code)
        val failed = run("verify", other.path)
        assertEquals(2, failed.code)
        assertTrue("FAILED" in failed.out && "12 of 12 golden examples" in failed.err, failed.err)
    }

    @Test
    fun `generate writes on from a text`() {
        val small = File(System.getProperty("small"), "writer").path
        assumeTrue(File(small).isDirectory, "$small is not there: python android_demo/tools/make_small.py makes it")
        val ran = run("generate", small, "A", "--max-new-tokens", "6")
        assertEquals(listOf(" caf\u00e9\n", "", 0), listOf(ran.out, ran.err, ran.code))
        val told = run("generate", small, input = "A caf\u00e9 in\n".toByteArray())
        assertEquals(" na\u00efve \u65e5\u672c\u8a9e has \uD83D\uDE00 and \uD83D\uDC4D\uD83C\uDFFD on its door.\n", told.out)
        failing("Got 1 tokens to write on from and 97 new ones; expected 97 together", "generate", small, "A", "--max-new-tokens", "97")
        failing("Got --max-new-tokens 0; expected a whole number of at least 1", "generate", small, "A", "--max-new-tokens", "0")
        failing("Got --dance; expected --max-new-tokens", "generate", small, "--dance")
        failing("No text came", "generate", small)
        failing("no token that the model could read", "generate", small, "")
        failing("which holds a TextClassifier; expected a model that writes", "generate", bundle, "A")
    }

    @Test
    fun `pictures are arguments or lines, and what is none ends with a sentence`(@TempDir folder: File) {
        val arrays = System.getProperty("small")
        assumeTrue(File(arrays, "pictures").isDirectory)
        val picture = "$arrays/files/dot.png"
        val answered = run("predict", "$arrays/pictures", picture, "--json")
        assertTrue(answered.out.startsWith("{\"image\": \"$picture\", \"label\": "), answered.out)
        assertEquals(answered.out, run("predict", "$arrays/pictures", input = "$picture\n".toByteArray()).out)
        val words = File(folder, "words.wav").apply { writeText("This is no sound.") }
        failing("words.wav is no picture of a format that is known", "predict", "$arrays/pictures", words.path)
        failing("words.wav can't be read as sound (no WAV file)", "predict", "$arrays/words", words.path)
        failing("none.png is not there", "predict", "$arrays/pictures", "none.png")
        failing("reads texts, which are lines", "predict", bundle, picture)
        failing("reads no texts, and so no --pairs", "predict", "$arrays/pictures", picture, "--pairs")
    }

    @Test
    fun `two towers search a folder and label pictures, with Python's options`(@TempDir folder: File) {
        val small = System.getProperty("small")
        val towers = "$small/towers"
        assumeTrue(File(towers).isDirectory)
        File(small, "files/four.png").copyTo(File(folder, "b/four.PNG"))
        File(small, "files/seven.png").copyTo(File(folder, "a.png"))
        for (other in listOf("notes.txt", ".hidden.png", "b/thumbs.db")) File(folder, other).writeText("none")
        fun answers(ran: Ran) = ran.also { assertEquals("" to 0, it.err to it.code) }.out.trimEnd('\n').lines().map { Json.parse(it) as Map<*, *> }
        val found = answers(run("predict", towers, folder.path, "--search", "the digit four", "--json"))
        assertEquals(listOf("$folder/b/four.PNG" to 1L, "$folder/a.png" to 0L), found.map { it["image"] to it["index"] })
        assertEquals(listOf("index", "score", "image"), found[0].keys.toList())
        assertEquals(1, answers(run("predict", towers, "--search", "the digit four", "--top", "1", input = "$folder\n".toByteArray())).size)
        val labelled = answers(run("predict", towers, "--label", "the digit seven", "--label", "a cafe", "$folder/a.png"))
        assertEquals(listOf("the digit seven"), labelled.map { it["label"] })
        assertEquals(listOf("seven", "four"), answers(run("predict", towers, folder.path)).map { it["label"] })
        File(folder, "empty").mkdir()
        for ((words, arguments) in listOf(
            "Got --search and --label; expected one of the two" to listOf("--search", "a", "--label", "a"),
            "expected each once" to listOf("--label", "a", "--label", "a"),
            "Got --pairs for" to listOf("--pairs"),
            "Got --top 0; expected a whole number" to listOf("--search", "a", "--top", "0"),
            "Got --search and nothing behind it" to listOf("--search"),
            "longer than the 24 tokens" to listOf("--search", "dog ".repeat(99)),
        )) {
            failing(words, "predict", towers, folder.path + "/a.png", *arguments.toTypedArray())
        }
        failing("holds no image (.jpg", "predict", towers, "$folder/empty")
        failing("expected a bundle of pictures and texts", "predict", bundle, "--label", "a", input = "a".toByteArray())
        failing("expected a bundle of pictures and texts", "predict", "$small/pictures", "--search", "a", "$folder/a.png")
        failing("holds two towers", "generate", towers, "A")
        assertEquals(0, run("verify", towers).code)
        assertEquals(0, run("verify", towers, "--runtime", "litert-1.4.2").code)
    }

    @Test
    fun `mistakes are one sentence and code 2`() {
        failing("usage", "dance")
        failing("usage")
        failing("is no folder", "predict", "$bundle/none", input = "a".toByteArray())
        failing("is no zip", "predict", "$bundle/labels.txt", input = "a".toByteArray())
        failing("No text came", "predict", bundle)
        failing("is not UTF-8", "predict", bundle, input = byteArrayOf(97, -1, 10))
        failing("--what", "predict", bundle, "--what")
    }

    @Test
    fun `too little memory is a sentence`() {
        failing("memory", "predict", bundle, input = ByteArray(16_000_000) { 97 }, java = listOf("-Xmx20m", "-XX:+UseSerialGC"))
    }

    private fun failing(part: String, vararg arguments: String, input: ByteArray = ByteArray(0), java: List<String> = emptyList()) {
        val ran = run(*arguments, input = input, java = java)
        assertEquals(2, ran.code, ran.err)
        assertEquals("", ran.out)
        assertTrue(part in ran.err, ran.err)
        assertTrue("\tat " !in ran.err, ran.err)
    }
}
