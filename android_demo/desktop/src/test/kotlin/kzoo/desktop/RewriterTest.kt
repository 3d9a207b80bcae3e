package kzoo.desktop

import java.io.File
import java.util.concurrent.CancellationException
import kzoo.core.bundle.MODEL
import kzoo.core.json.Json
import kzoo.core.task.Ending
import kzoo.core.task.TextRewriter
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

/** Bundles that write of sources, of tools/make_small.py: as T5 is built, and as both kinds of mBART are. */
class RewriterTest {
    private val small = File(System.getProperty("small"))

    @BeforeEach
    fun there() = assumeTrue(small.isDirectory, "$small is not there: python android_demo/tools/make_small.py makes it")

    private fun open(name: String) = openTask(File(small, name)) as TextRewriter

    @Test
    fun `tokens are Python's, greedy and by beams, in every language`() {
        val rows = (Json.parse(File(small, "sources.json").readText()) as List<*>).map { it as Map<*, *> }
        assertTrue(rows.size >= 200)
        for ((name, some) in rows.groupBy { it["bundle"].toString() }) {
            open(name).use { writer ->
                for (row in some) {
                    val order = row["order"] as Map<*, *>
                    fun count(key: String) = (order[key] as Number?)?.toInt()
                    val pieces = StringBuilder()
                    val written = writer.write(row["text"].toString(), order["target_language"]?.toString(), count("num_beams"), count("max_new_tokens")) { _, piece ->
                        pieces.append(piece)
                    }
                    assertEquals((row["token_ids"] as List<*>).map { (it as Number).toInt() }, written.tokenIds.toList(), "$name, $order: ${row["text"]}")
                    assertEquals(listOf(row["written"], row["written"]), listOf(written.text, pieces.toString()))
                }
            }
        }
    }

    @Test
    fun `beams can be stopped, and the next source is read`() {
        open("rewriter").use { writer ->
            val expected = writer.write("Who met Tim", maxNewTokens = 9).tokenIds
            for (after in listOf(0, 1, 2, 11)) {
                var asked = 0
                assertThrows<CancellationException> { writer.write("Angela Merkel met Tim Cook", cancelled = { asked++ == after }) }
                assertArrayEquals(expected, writer.write("Who met Tim", maxNewTokens = 9).tokenIds)
            }
            val seen = ArrayList<String>()
            val whole = writer.write("Who met Tim", maxNewTokens = 9) { writing, _ -> seen.add(writing.text) }
            assertTrue(seen.dropLast(1).all { it.isNotEmpty() }, seen.toString())
            assertEquals(whole.text, seen.last())
            assertEquals(Ending.LENGTH, writer.write("Who met Tim", numBeams = 1, maxNewTokens = 1).ending)
        }
    }

    @Test
    fun `what can't be written is a sentence`() {
        open("translator").use { writer ->
            assertEquals(listOf("en_XX", "de_DE", "fr_XX") to "de_DE", writer.languages to writer.language)
            assertSentence("Got the language xx_XX; expected one of de_DE, en_XX, fr_XX") { writer.write("a", "xx_XX") }
            assertSentence("Got 0 beams; expected 1 at least") { writer.write("a", numBeams = 0) }
            assertSentence("Got 999 beams; expected no more than") { writer.write("a", numBeams = 999) }
            assertSentence("Got 97 new tokens; expected 96 at most") { writer.write("a", maxNewTokens = 97) }
            assertSentence("Got 1 new tokens, with 1 that stand before") { writer.write("a", maxNewTokens = 1) }
            assertSentence("no token that the model could read") { writer.write("") }
            assertSentence("tokens in the source; expected 1 to 64, the places that the encoder has: shorten it") { writer.write("word ".repeat(99)) }
        }
        open("rewriter").use { assertSentence("expected one of none, for this bundle has no such tokens") { it.write("a", "de_DE") } }
    }

    @Test
    fun `a file without one of the two functions is refused, and settings that nobody here has`(@TempDir folder: File) {
        for ((number, change) in listOf<Pair<String, (MutableMap<String, Any?>) -> Unit>>(
            "has the functions decode; expected decode and encode" to { it["signature"] = (it["signature"] as Map<*, *>) - "encode" },
            "has the functions encode; expected decode and encode" to { it["signature"] = (it["signature"] as Map<*, *>) - "decode" },
            "writes by temperature, which this program doesn't do" to { it["task_options"] = options(it) + ("generation" to mapOf("temperature" to 0.7)) },
            "task_options of a kind that nobody reads (start_id is null)" to { it["task_options"] = options(it) - "start_id" },
        ).withIndex()) {
            val target = File(folder, number.toString())
            File(small, "rewriter").copyRecursively(target)
            RealBundle.reseal(target, change.second)
            assertSentence(change.first) { openTask(target) }
        }
        val other = File(folder, "other")
        File(small, "rewriter").copyRecursively(other)
        File(small, "writer/$MODEL").copyTo(File(other, MODEL), overwrite = true)
        RealBundle.reseal(other) {}
        assertSentence("has not the function decode that its manifest says") { openTask(other) }
    }

    private fun options(manifest: Map<String, Any?>) = manifest["task_options"] as Map<*, *>
}
