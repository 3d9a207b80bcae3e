package kzoo.desktop

import java.io.File
import java.util.concurrent.CancellationException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.MODEL
import kzoo.core.bundle.TextGolden
import kzoo.core.task.BundleCheck
import kzoo.core.task.Ending
import kzoo.core.task.TextWriter
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

/** Bundles that write, of tools/make_small.py: `writer` ends what it learned, `writer_fixed` babbles. */
class WriterTest {
    private val small = File(System.getProperty("small"))

    @BeforeEach
    fun there() = assumeTrue(small.isDirectory, "$small is not there: python android_demo/tools/make_small.py makes it")

    private fun open(name: String) = openTask(File(small, name)) as TextWriter

    @Test
    fun `the tokens are those that Python wrote down`() {
        for (name in listOf("writer", "writer_fixed")) {
            open(name).use { writer ->
                for (golden in writer.bundle.manifest.golden.map { it as TextGolden }) {
                    val expected = golden.outputs.getValue("token_ids").map { it.toInt() }
                    val upToEnd = expected.indexOf(writer.bundle.endId).let { if (it < 0) expected else expected.take(it + 1) }
                    val written = writer.write(golden.text, maxNewTokens = expected.size)
                    assertEquals(upToEnd, written.tokenIds.toList(), "$name: ${golden.text}")
                    assertEquals(golden.tokenIds.size, written.promptTokens)
                }
            }
        }
    }

    @Test
    fun `text ends where the model ends it, or after the tokens that were asked for`() {
        open("writer").use { writer ->
            val pieces = ArrayList<String>()
            val written = writer.write("A café in") { _, piece -> pieces.add(piece) }
            assertEquals(" naïve 日本語 has 😀 and 👍🏽 on its door.", written.text)
            assertEquals(written.text, pieces.joinToString(""))
            assertTrue("😀" in pieces && "本" in pieces, pieces.toString())
            assertEquals(Ending.END to writer.bundle.endId, written.ending to written.tokenIds.last())
            val short = writer.write("A café in", maxNewTokens = 8)
            assertEquals(Ending.LENGTH, short.ending)
            assertEquals(" naïve ", short.text)
        }
    }

    @Test
    fun `a text that was stopped leaves nothing behind`() {
        open("writer_fixed").use { writer ->
            val expected = writer.write("Who met Tim").tokenIds
            for (after in listOf(0, 1, 5)) {
                var asked = 0
                assertThrows<CancellationException> { writer.write("Angela Merkel met Tim Cook", cancelled = { asked++ == after }) }
                assertArrayEquals(expected, writer.write("Who met Tim").tokenIds)
            }
        }
    }

    @Test
    fun `as much is written as there is room for, and no more is asked for`() {
        open("writer_fixed").use { writer ->
            val front = writer.write("a", maxNewTokens = 1).promptTokens - 1
            val room = writer.bundle.manifest.maxLength - front
            assertEquals(1, writer.write("a".repeat(room)).tokenIds.size)
            assertEquals(2, writer.write("a".repeat(room - 1)).tokenIds.size)
            assertSentence("Got 97 tokens to write on from and 1 new ones; expected 97 together at most") { writer.write("a".repeat(room + 1)) }
            assertSentence("expected 97 together") { writer.write("a", maxNewTokens = 96) }
            assertSentence("Got 0 new tokens") { writer.write("a", maxNewTokens = 0) }
        }
        open("writer").use { assertSentence("no token that the model could read") { it.write("") } }
    }

    @Test
    fun `golden examples that were changed fail`(@TempDir folder: File) {
        fun reasons(change: (Map<*, *>) -> Map<*, *>): List<String?> {
            val target = File(folder, System.nanoTime().toString())
            File(small, "writer").copyRecursively(target)
            RealBundle.reseal(target) { manifest ->
                manifest["golden"] = (manifest["golden"] as List<*>).map { entry ->
                    entry as Map<*, *> + ("outputs" to change(entry["outputs"] as Map<*, *>))
                }
            }
            return openTask(target).use { task -> BundleCheck.run(task).map { it.reason } }
        }
        assertTrue(reasons { it }.all { it == null })
        val others = reasons { it + ("token_ids" to (it["token_ids"] as List<*>).map { id -> (id as Number).toInt() % 200 + 1 }) }
        assertTrue(others.all { "written otherwise from token" in it.orEmpty() }, others.toString())
        val off = reasons { it + ("logits" to (it["logits"] as List<*>).map { 100.0 }) }
        assertTrue(off.all { "logits off by" in it.orEmpty() }, off.toString())
        assertTrue(reasons { it - "logits" }.all { it == "no token_ids and logits written down" })
    }

    @Test
    fun `a file with other functions is refused`(@TempDir folder: File) {
        val target = File(folder, "b")
        RealBundle.changed(target) { it["rule"] = "continuation" }
        assertSentence("has the functions serve; expected decode and prefill") { openTask(target) }
        val other = File(folder, "c")
        File(small, "writer").copyRecursively(other)
        RealBundle.reseal(other) { manifest ->
            val functions = manifest["signature"] as Map<*, *>
            manifest["signature"] = functions + ("decode" to functions["prefill"])
        }
        assertSentence("has not the function decode that its manifest says") { openTask(other) }
        File(small, "writer/$MODEL").copyTo(File(other, MODEL), overwrite = true)
        RealBundle.reseal(other) { it["rule"] = "single_label"; it["labels"] = null }
        assertSentence("has 2 signatures; one was expected") { openTask(other) }
    }

    @Test
    fun `a prompt is read in parts of any length`() {
        Bundle.open(FolderFiles(File(small, "writer")), DesktopEngine.RUNTIME).use { bundle ->
            DesktopEngine(bundle.model(), bundle.name).use { engine ->
                val prefill = engine.functions.getValue("prefill")
                for (length in listOf(3, 1, 3)) {
                    prefill.fit(length)
                    val places = prefill.input("places").asIntBuffer()
                    assertEquals(List(length) { 0 }, List(places.capacity(), places::get))
                    prefill.input("past_places").asIntBuffer().let { past -> for (i in 0 until past.capacity()) past.put(i, 1 shl 20) }
                    for (i in 0 until length) places.put(i, i)
                    prefill.run()
                    assertEquals(length * 4 * 8 * 4, prefill.output("past_key_0").capacity())
                    prefill.input("places").asIntBuffer().put(0, 7)
                }
            }
        }
    }
}
