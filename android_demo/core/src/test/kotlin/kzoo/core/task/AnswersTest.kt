package kzoo.core.task

import java.io.File
import kotlin.math.ln
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.TestBundle
import kzoo.core.tokenizer.Tokenizer
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The rules of kzoo/answers.py, by the cases of tests/test_answers.py; places in UTF-16 units. */
class AnswersTest {
    private val labels = listOf("O", "B-PER", "I-PER", "B-LOC")

    private fun row(vararg places: Pair<Int, Int>) = Row(
        mapOf(TOKEN_IDS to IntArray(places.size)), places.size,
        IntArray(places.size) { places[it].first }, IntArray(places.size) { places[it].second },
    )

    /** Logits whose softmax has the given label on top with its share. */
    private fun logits(vararg rows: Pair<String, Double>): FloatArray = rows.flatMap { (label, share) ->
        labels.map { ln(if (it == label) share else (1 - share) / (labels.size - 1)).toFloat() }
    }.toFloatArray()

    private fun found(text: String, names: String, vararg places: Pair<Int, Int>): List<Pair<String, String>> {
        val rows = names.split(" ").map { it to 0.7 }.toTypedArray()
        val entities = entities(text, logits(*rows), row(*places), labels)
        entities.forEach { assertEquals(0.7, it.score, 1e-6) }
        return entities.map { it.label to text.substring(it.start, it.end) }
    }

    @Test
    fun `entities are whole words`() {
        val none = -1 to -1
        assertEquals(
            listOf("PER" to "Jo", "LOC" to "Paris"),
            found("Jo in Paris", "O B-PER O O B-LOC I-PER O", none, 0 to 1, 1 to 2, 3 to 5, 6 to 8, 8 to 11, none),
        )
        assertEquals(emptyList<Any>(), found("unparis", "O B-LOC", 0 to 2, 2 to 7))
        assertEquals(listOf("PER" to "A.-B"), found("A.-B", "B-PER I-PER I-PER I-PER", 0 to 1, 1 to 2, 2 to 3, 3 to 4))
        assertEquals(listOf("PER" to "A", "PER" to "B"), found("A B", "B-PER B-PER", 0 to 1, 2 to 3))
        assertEquals(listOf("PER" to "A", "LOC" to "B"), found("A B", "I-PER B-LOC", 0 to 1, 2 to 3))
        assertEquals(listOf("PER" to "A", "PER" to "B"), found("A of B", "B-PER O I-PER", 0 to 1, 2 to 4, 5 to 6))
        assertEquals(listOf("PER" to "巴黎"), found("爱巴黎很", "O B-PER I-PER O", 0 to 1, 1 to 2, 2 to 3, 3 to 4))
        assertEquals(listOf("LOC" to "कि"), found("कि ल", "B-LOC O O", 0 to 1, 1 to 2, 3 to 4))
        assertEquals(listOf("PER" to "😀"), found("😀a", "B-PER O O", 0 to 2, 0 to 2, 2 to 3))
    }

    @Test
    fun `B, S and U begin an entity`() {
        for (mark in "BSU") {
            val names = listOf("O", "$mark-PER", "I-PER")
            val rows = floatArrayOf(0f, 9f, 0f, 0f, 9f, 0f, 0f, 0f, 9f)
            val found = entities("A B C", rows, row(0 to 1, 2 to 3, 4 to 5), names)
            assertEquals(listOf(0 to 1, 2 to 5), found.map { it.start to it.end })
        }
    }

    @Test
    fun `letters, marks and numbers make words, symbols do not`() {
        fun words(second: String) = found("a$second", "B-PER B-PER", 0 to 1, 1 to 1 + second.length).size
        // Of each a character that Unicode got after Android 8's platform: letters, marks, a number.
        for (part in listOf("b", "\u0301", "\u0903", "\u20DD", "7", "\u00BD", "\u2167", "\uA7C2", "\u0898", "\uD804\uDDCE", "\uD83E\uDFF0")) {
            assertEquals(1, words(part), part)
        }
        for (apart in listOf("_", "\u203F", "\u200D", "\u24B6", "\uD83C\uDD70", "+", ".", " ", "\u4E00")) assertEquals(2, words(apart), apart)
    }

    @Test
    fun `an entity scores the mean of its words`() {
        val rows = logits("B-PER" to 0.9, "O" to 0.8, "I-PER" to 0.6)
        val only = entities("Jo Li", rows, row(0 to 1, 1 to 2, 3 to 5), labels).single()
        assertEquals(0.75, only.score, 1e-6)
        assertEquals("Jo Li".length, only.end)
    }

    @Test
    fun `the best span runs forward over real characters`() {
        val places = row(-1 to -1, 0 to 1, 2 to 3, 4 to 5, -1 to -1)
        val start = floatArrayOf(0.5f, 0.1f, 0.2f, 0.1f, 0.1f).map { ln(it) }.toFloatArray()
        val end = floatArrayOf(0.1f, 0.5f, 0.1f, 0.2f, 0.1f).map { ln(it) }.toFloatArray()
        for (longest in listOf(1, 30)) {
            val found = span(start, end, places, longest)!!
            assertEquals(listOf(0, 1), listOf(found.start, found.end))
            assertEquals(0.05, found.score, 1e-6)
        }
        assertNull(span(start, end, row(-1 to -1, -1 to -1, -1 to -1, -1 to -1, -1 to -1)))
        assertEquals(0.05, span(start + 50f, end + 50f, places)!!.score, 1e-6) // Padding is nobody's.
    }

    @Test
    fun `probabilities are a softmax, or a sigmoid of one`() {
        assertArrayEquals(doubleArrayOf(0.5, 0.5), probabilities(floatArrayOf(1000f, 1000f)))
        assertArrayEquals(doubleArrayOf(0.5), probabilities(floatArrayOf(0f)))
        assertArrayEquals(doubleArrayOf(0.0, 1.0), probabilities(floatArrayOf(-2000f, 2000f)))
    }

    @Test
    fun `an index finds the nearest`() {
        val index = Index(listOf("a", "b", "c"), listOf(floatArrayOf(1f, 0f), floatArrayOf(0f, 3f), floatArrayOf(2f, 2f)))
        assertEquals(listOf("b", "c"), index.nearest(floatArrayOf(0f, 1f), 2).map { it.text })
        assertEquals(0.0, cosine(floatArrayOf(0f, 0f), floatArrayOf(1f, 0f)))
        assertEquals(1.0, index.nearest(floatArrayOf(0f, 1f))[0].cosine, 1e-12)
    }

    @Test
    fun `rows are cut, framed and padded as in Python`(@TempDir folder: File) {
        val tokenizer = Bundle.open(FolderFiles(TestBundle.write(folder))).tokenizer
        val rows = RowMaker(tokenizer, 6, null)
        val cut = rows.row("a film a film a film")
        assertArrayEquals(intArrayOf(2, 4, 6, 4, 6, 3), cut.rows[0].tokenIds)
        assertTrue(cut.truncated && cut.tokens == 6)
        assertArrayEquals(intArrayOf(-1, 0, 2, 7, 9, -1), cut.rows[0].starts)
        val pair = rows.row("a a a", "film").rows[0]
        assertArrayEquals(intArrayOf(2, 4, 4, 3, 6, 3), pair.tokenIds)
        assertArrayEquals(intArrayOf(0, 0, 0, 0, 1, 1), pair.inputs[SEGMENT_IDS])
        val padded = RowMaker(tokenizer, 6, 5).row("a").rows[0]
        assertArrayEquals(intArrayOf(2, 4, 3, 8, 8), padded.tokenIds)
        assertArrayEquals(intArrayOf(1, 1, 1, 0, 0), padded.inputs[PADDING_MASK])
        assertEquals(3, padded.tokens)
        assertTrue(rows.row("").empty && rows.row("\u0000\u0001\u0007").empty)
        assertTrue(rows.row("\uD800").empty) // Read as U+FFFD, which BERT's normalizer takes out.
    }

    @Test
    fun `a long text loses its start where the tokenizer says so`() {
        val file = """{"truncation": {"direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []}}"""
        val rows = RowMaker(Tokenizer.read(file.byteInputStream()), 3, null)
        assertArrayEquals(intArrayOf(1, 2, 0), rows.row("abca").rows[0].tokenIds)
        assertArrayEquals(intArrayOf(1, 2, 3), rows.row("abca").rows[0].starts)
        assertArrayEquals(intArrayOf(2, 0, 1), rows.row("abca", "b").rows[0].tokenIds)
        assertArrayEquals(intArrayOf(0, 1), rows.row("ab").rows[0].tokenIds)
    }

    @Test
    fun `windows over a text share a quarter and keep the question`(@TempDir folder: File) {
        val tokenizer = Bundle.open(FolderFiles(TestBundle.write(folder))).tokenizer
        val read = RowMaker(tokenizer, 8, null).windows("good", "a film a film a film")
        assertEquals(2, read.rows.size)
        assertArrayEquals(intArrayOf(2, 5, 3, 4, 6, 4, 6, 3), read.rows[0].tokenIds)
        assertArrayEquals(intArrayOf(2, 5, 3, 4, 6, 4, 6, 3), read.rows[1].tokenIds)
        assertArrayEquals(intArrayOf(-1, -1, -1, 7, 9, 14, 16, -1), read.rows[1].starts)
        assertEquals(10, read.tokens)
        assertFalse(read.truncated)
        assertTrue(RowMaker(tokenizer, 8, null).windows("good good good good", "a").truncated)
    }
}
