package kzoo.desktop

import java.io.File
import java.util.concurrent.Callable
import java.util.concurrent.CancellationException
import java.util.concurrent.Executors
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.Column
import kzoo.core.bundle.Engine
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.MODEL
import kzoo.core.bundle.TOKENIZER
import kzoo.core.task.BundleCheck
import kzoo.core.task.GoldenResult
import kzoo.core.task.Latency
import kzoo.core.task.Task
import kzoo.core.task.TextClassifier
import kzoo.core.task.TextTask
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir

/** The real bundle on a real engine: what a phone does, on this machine. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EndToEndTest {
    private val task = openTask(RealBundle.folder) as TextClassifier

    @AfterAll
    fun close() = task.close()

    @Test
    fun `golden examples pass`() {
        val found = BundleCheck.run(task)
        assertEquals(task.bundle.manifest.golden.size, found.size)
        assertTrue(found.size >= 12)
        found.forEach { assertTrue(it.passed, "${it.golden.title}: ${it.reason}") }
        println("golden examples: at most ${BundleCheck.percent(found.maxOf { it.difference })} from Python on ${DesktopEngine.RUNTIME}")
    }

    @Test
    fun `a golden example that was changed fails`(@TempDir folder: File) {
        RealBundle.changed(File(folder, "ids")) { manifest ->
            manifest["golden"] = (manifest["golden"] as List<*>).map { it as Map<*, *> + ("text" to "Another text.") }
        }
        openTask(File(folder, "ids")).use { changed ->
            assertTrue(BundleCheck.run(changed).all { "tokenized otherwise from token" in it.reason.orEmpty() })
        }
        RealBundle.changed(File(folder, "outputs")) { manifest ->
            manifest["golden"] = (manifest["golden"] as List<*>).map {
                it as Map<*, *> + ("outputs" to mapOf("logits" to listOf(listOf(9.0, -9.0))))
            }
        }
        openTask(File(folder, "outputs")).use { changed ->
            assertTrue(BundleCheck.run(changed).all { "allowed" in it.reason.orEmpty() })
        }
    }

    @Test
    fun `golden examples that prove nothing are refused`(@TempDir folder: File) {
        fun found(golden: (List<Map<*, *>>) -> List<Map<*, *>>): List<GoldenResult> {
            val bundle = RealBundle.changed(File(folder, System.nanoTime().toString())) { manifest ->
                manifest["golden"] = golden((manifest["golden"] as List<*>).map { it as Map<*, *> })
            }
            return openTask(bundle).use { BundleCheck.run(it) }
        }
        for (outputs in listOf(emptyMap(), mapOf("scores" to listOf(1.0)), mapOf("logits" to listOf(0.0, 0.0), "more" to 0.0))) {
            val results = found { all -> all.map { it + ("outputs" to outputs) } }
            assertTrue(results.all { "written down, the model gives logits" in it.reason.orEmpty() })
        }
        assertSentence("holds 5 golden examples; at least 6 are expected") { found { it.take(5) } }
        assertSentence("holds 0 golden examples; at least 6 are expected") { found { emptyList() } }
        assertTrue(found { it.take(6) }.all { it.passed })
    }

    @Test
    fun `a label that changed fails where outputs may lie far off`(@TempDir folder: File) {
        val bundle = RealBundle.changed(File(folder, "b")) { manifest ->
            manifest["tolerance"] = 100
            manifest["golden"] = (manifest["golden"] as List<*>).map {
                val logits = ((it as Map<*, *>)["outputs"] as Map<*, *>)["logits"] as List<*>
                it + ("outputs" to mapOf("logits" to logits.map { row -> (row as List<*>).reversed() }))
            }
        }
        openTask(bundle).use { changed ->
            assertTrue(BundleCheck.run(changed).count { it.reason == "another label" } >= 6)
        }
    }

    @Test
    fun `an output that is no number is an error`() {
        val bundle = Bundle.open(FolderFiles(RealBundle.folder), DesktopEngine.RUNTIME)
        val engine = DesktopEngine(bundle.model(), bundle.name)
        for (odd in listOf(Float.NaN, Float.POSITIVE_INFINITY)) {
            val broken = object : Engine by engine {
                override fun run(inputs: Map<String, Column>) = engine.run(inputs).onEach { it.value.values[1] = odd }
            }
            assertSentence("gives logits that is no number") { (Task.of(bundle, broken) as TextClassifier).classify("good") }
        }
        Task.of(bundle, engine).close()
    }

    @Test
    fun `labels and lengths are right`() {
        val good = task.classify("A wonderful film, I loved every minute.")
        assertEquals("positive", good.label)
        assertTrue(good.score > 0.9)
        assertEquals(1.0, good.scores.sumOf { it.second }, 1e-12)
        assertEquals("negative", task.classify("A complete disappointment.").label)
        assertEquals("negative", task.classify("It was", "a waste of time").label)
        assertFalse(good.reading.truncated)
    }

    @Test
    fun `five megabytes, control characters and a lone surrogate are read`() {
        val long = task.classify("what a wonderful film . ".repeat(5_000_000 / 24))
        assertTrue(long.reading.truncated)
        assertEquals(task.bundle.manifest.maxLength, long.reading.tokens)
        assertEquals("positive", long.label)
        assertTrue(task.classify("\u0000\u0001\u0008\u001b\u007f").reading.empty)
        assertTrue(task.classify("").reading.empty)
        val whole = task.classify("a good film \uFFFD")
        val broken = task.classify("a good film \uD83D")
        assertEquals(whole.score, broken.score)
        assertEquals(1, broken.score.compareTo(0.5))
    }

    @Test
    fun `several threads get what one gets`() {
        val texts = listOf("good", "A bad film that nobody needs.", "What a wonderful day it was!", "no ".repeat(100))
        val alone = texts.map { task.classify(it).score }
        val pool = Executors.newFixedThreadPool(4)
        val answers = (0 until 80).map { n -> pool.submit(Callable { task.classify(texts[n % 4]).score }) }
        answers.forEachIndexed { n, answer -> assertEquals(alone[n % 4], answer.get()) }
        pool.shutdown()
    }

    @Test
    fun `what was cancelled does not run`() {
        assertThrows<CancellationException> { task.classify("good", cancelled = { true }) }
    }

    @Test
    fun `a task that was closed is no answer`() {
        val closed = openTask(RealBundle.folder) as TextClassifier
        closed.close()
        closed.close()
        assertThrows<CancellationException> { closed.classify("good") }
    }

    @Test
    fun `latency grows with length`() {
        val found = Latency.measure(task)
        assertEquals(listOf(16, 32, 64, 128), found.map { it.tokens })
        assertTrue(found.all { it.milliseconds > 0 })
        assertTrue(found.last().milliseconds > found.first().milliseconds)
    }

    @Test
    fun `fewer labels than outputs are found before a label is shown`(@TempDir folder: File) {
        val bundle = RealBundle.changed(File(folder, "b"))
        File(bundle, "labels.txt").writeText("positive\n")
        RealBundle.reseal(bundle) { it["labels"] = listOf("positive") }
        openTask(bundle).use { one -> assertSentence("logits of the shape 1 x 2", "1 x 1 was expected") { (one as TextTask).json("good", null) } }
        RealBundle.reseal(bundle) { it["labels"] = null }
        assertSentence("has no labels") { openTask(bundle) }
    }

    @Test
    fun `a model that reads something else is refused`(@TempDir folder: File) {
        val bundle = RealBundle.changed(File(folder, "b"))
        val model = File(bundle, MODEL)
        model.writeBytes(replaced(model.readBytes(), "padding_mask", "pixel_values"))
        RealBundle.reseal(bundle)
        assertSentence("reads pixel_values", "token_ids") { openTask(bundle) }
        RealBundle.reseal(bundle) { it["task"] = "ImageClassifier"; it["rule"] = "boxes" }
        assertSentence("holds a ImageClassifier") { openTask(bundle) }
        model.writeBytes(ByteArray(1000))
        RealBundle.reseal(bundle) { it["task"] = "TextClassifier"; it["rule"] = "single_label" }
        assertSentence("is no model") { openTask(bundle) }
    }

    @Test
    fun `ids that the model lacks are a sentence`(@TempDir folder: File) {
        val bundle = RealBundle.changed(File(folder, "b"))
        val tokenizer = File(bundle, TOKENIZER)
        val text = tokenizer.readText()
        val place = text.indexOf("\"film\": ") + "\"film\": ".length
        tokenizer.writeText(text.replaceRange(place, text.indexOfAny(charArrayOf(',', '\n'), place), "9999999"))
        RealBundle.reseal(bundle)
        openTask(bundle).use { task ->
            task as TextClassifier
            assertSentence("refuses these") { task.classify("a film") }
            assertEquals("positive", task.classify("a wonderful day").label) // It answers as before afterwards.
        }
    }

    @Test
    fun `a tokenizer of a kind that nobody reads is named`(@TempDir folder: File) {
        val bundle = RealBundle.changed(File(folder, "b"))
        val tokenizer = File(bundle, TOKENIZER)
        tokenizer.writeText(tokenizer.readText().replace("\"BertPreTokenizer\"", "\"Telepathy\""))
        RealBundle.reseal(bundle)
        assertSentence("Telepathy") { openTask(bundle).use { (it as TextTask).json("good", null) } }
    }

    @Test
    fun `an engine takes a model from any place`() {
        Bundle.open(FolderFiles(RealBundle.folder), DesktopEngine.RUNTIME).use { bundle ->
            val mapped = bundle.model()
            val copied = java.nio.ByteBuffer.allocateDirect(mapped.capacity()).put(mapped)
            Task.of(bundle, DesktopEngine(copied, "copy")).use { copy ->
                assertEquals(task.classify("good").score, (copy as TextClassifier).classify("good").score)
            }
        }
    }

    private fun replaced(bytes: ByteArray, old: String, new: String): ByteArray {
        require(old.length == new.length)
        val text = String(bytes, Charsets.ISO_8859_1)
        require(old in text)
        return text.replace(old, new).toByteArray(Charsets.ISO_8859_1)
    }
}
