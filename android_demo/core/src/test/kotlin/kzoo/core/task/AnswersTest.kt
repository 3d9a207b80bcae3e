package kzoo.core.task

import java.io.File
import kotlin.math.ln
import kzoo.core.KzooException
import kzoo.core.bundle.Bundle
import kzoo.core.bundle.FolderFiles
import kzoo.core.bundle.Problem
import kzoo.core.bundle.Similarity
import kzoo.core.bundle.TaskOptions
import kzoo.core.bundle.TestBundle
import kzoo.core.json.Json
import kzoo.core.tokenizer.Tokenizer
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
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

    /** tests/golden/words.json, which tests/test_answers.py reads as well. */
    private val golden = Json.parse(File(System.getProperty("root"), "../tests/golden/words.json").reader()) as Map<*, *>

    @Test
    fun `words are the pre-tokenizer's, without blanks, and their first token speaks for them`() {
        val tokenizers = (golden["tokenizers"] as Map<*, *>).mapValues { Tokenizer.read(Json.write(it.value).byteInputStream()) }
        val cases = (golden["cases"] as List<*>).map { it as Map<*, *> }
        assertTrue(cases.size >= 20)
        for (case in cases) {
            val text = case["text"] as String
            val read = RowMaker(tokenizers.getValue(case["tokenizer"]), 64, null).windows(text)
            val tokens = read.whole.tokens
            val numbers = List(maxOf(tokens, 2)) { it.toString() } // Each token has a label of its own.
            val logits = FloatArray(tokens * numbers.size) { if (it / numbers.size == it % numbers.size) 9f else 0f }
            val found = entities(text, logits, read.whole, numbers).map {
                val (start, end) = codePoints(text, it.start, it.end)
                listOf(it.label.toLong(), start.toLong(), end.toLong())
            }
            assertEquals(case["words"], found, "${case["tokenizer"]}: $text")
        }
    }

    @Test
    fun `labels have parts where they follow a scheme as a whole`() {
        for (case in (golden["schemes"] as List<*>).map { it as Map<*, *> }) {
            val labels = (case["labels"] as List<*>).map { it as String }
            val parts = labelParts(labels)
            assertEquals(case["kinds"], parts.map { it.second }, labels.toString())
            assertEquals(case["begins"], parts.indices.filter { parts[it].first }.map { it.toLong() }, labels.toString())
        }
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
        for (apart in listOf("_", "\u203F", "\u24B6", "\uD83C\uDD70", "+", ".", "\u4E00")) assertEquals(2, words(apart), apart)
        for (nobodys in listOf(" ", "\u3000", "\u200D", "\u200B")) assertEquals(1, words(nobodys), nobodys)
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
        assertEquals(0.0, similarity(floatArrayOf(0f, 0f), floatArrayOf(1f, 0f), Similarity.COSINE))
        assertEquals(1.0, index.nearest(floatArrayOf(0f, 1f))[0].similarity, 1e-12)
    }

    @Test
    fun `an index finds the nearest by each measure`() {
        val vectors = listOf(floatArrayOf(1f, 1f), floatArrayOf(0f, 3f), floatArrayOf(2f, 0f))
        val query = floatArrayOf(0.5f, 2f)
        // As sentence_transformers.util's cos_sim, dot_score, euclidean_sim and manhattan_sim have them.
        val expected = mapOf(
            Similarity.COSINE to listOf("b" to 0.970143, "a" to 0.857493, "c" to 0.242536),
            Similarity.DOT to listOf("b" to 6.0, "a" to 2.5, "c" to 1.0),
            Similarity.EUCLIDEAN to listOf("a" to -1.118034, "b" to -1.118034, "c" to -2.5),
            Similarity.MANHATTAN to listOf("a" to -1.5, "b" to -1.5, "c" to -3.5),
        )
        for ((by, hits) in expected) {
            val found = Index(listOf("a", "b", "c"), vectors, by).nearest(query)
            assertEquals(hits.map { it.first }, found.map { it.text }, by.name)
            hits.zip(found) { (_, value), hit -> assertEquals(value, hit.similarity, 1e-6, by.name) }
            assertTrue(found.all { share(it.similarity, by) in 0.0..1.0 })
        }
    }

    @Test
    fun `several labels are those that reach the threshold, values are themselves`(@TempDir folder: File) {
        val read = RowMaker(Bundle.open(FolderFiles(TestBundle.write(folder))).tokenizer, 8, null).row("a film")
        fun found(problem: Problem, threshold: Double, vararg logits: Float) =
            Classification.of(logits, listOf("x", "y", "z"), TaskOptions(problem = problem, threshold = threshold), Reading(read))
        val several = found(Problem.MULTI_LABEL, 0.5, 0f, 3f, -4f)
        assertEquals(listOf("y", "x"), several.labels)
        assertArrayEquals(doubleArrayOf(0.5, 0.952574, 0.017986), several.scores.map { it.second }.toDoubleArray(), 1e-6)
        assertEquals(listOf("text", "tokens", "truncated", "labels", "scores"), several.json("a film", null).keys.toList())
        assertEquals(emptyList<String>(), found(Problem.MULTI_LABEL, 0.99, 0f, 3f, -4f).labels)
        val values = found(Problem.REGRESSION, 0.5, 0.5f, 7f, -2f)
        assertEquals(mapOf("x" to 0.5, "y" to 7.0, "z" to -2.0), values.json("a film", null)["values"])
        assertEquals(emptyList<String>(), values.labels)
        assertEquals("y", found(Problem.SINGLE_LABEL, 0.9, 0f, 3f, -4f).label)
    }

    @Test
    fun `another answer is seen where it is clear, by the problem`() {
        fun differs(problem: Problem, here: FloatArray, there: FloatArray) = BundleCheck.differs(here, there, TaskOptions(problem = problem))
        val (low, high, near) = listOf(floatArrayOf(0f, 3f), floatArrayOf(3f, 0f), floatArrayOf(0.1f, 0f))
        assertTrue(differs(Problem.SINGLE_LABEL, low, high) && !differs(Problem.SINGLE_LABEL, low, near))
        assertTrue(differs(Problem.MULTI_LABEL, floatArrayOf(-1f, 3f), floatArrayOf(1f, 3f)))
        assertFalse(differs(Problem.MULTI_LABEL, floatArrayOf(-0.1f, 3f), floatArrayOf(0.1f, 3f)))
        assertFalse(differs(Problem.REGRESSION, low, high))
    }

    @Test
    fun `no answer is one where it scores higher by more than the threshold`() {
        val read = Rows(listOf(row(-1 to -1, 0 to 1, 2 to 3)), 3, false)
        fun found(none: Float, span: Float, threshold: Double?): Answer {
            val logits = floatArrayOf(none, span, 0f)
            val unsure = Found(floatArrayOf(50f, 0f, 0f), floatArrayOf(50f, 0f, 0f), read.rows[0]) // The window that says so least counts.
            return Answer.of("a b", listOf(Found(logits, logits, read.rows[0]), unsure), threshold, read)
        }
        assertEquals("a", found(2f, 1f, null).text)
        assertEquals("a", found(2f, 1f, 2.0).text) // 4 - 2 is no more than the threshold.
        val none = found(2f, 1f, 1.9)
        assertEquals(listOf("", 0, 0), listOf(none.text, none.start, none.end))
        assertEquals(0.4425455, none.score, 1e-6) // softmax(2, 1, 0)[0] squared
        assertEquals("a", found(1f, 2f, 0.0).text)
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
    fun `windows over one text read all of it, and each token counts where it stands farthest from an edge`(@TempDir folder: File) {
        val tokenizer = Bundle.open(FolderFiles(TestBundle.write(folder))).tokenizer
        val text = "a film a film a film a"
        val read = RowMaker(tokenizer, 7, null, 2).windows(text)
        assertEquals(listOf(0 to 5, 3 to 4), read.parts.map { it.first to it.count })
        assertEquals(9, read.tokens)
        assertFalse(read.truncated)
        assertArrayEquals(intArrayOf(0, 2, 7, 9, 14, 16, 21), read.whole.starts)
        assertArrayEquals(intArrayOf(2, 6, 4, 6, 4, 3), read.rows[1].tokenIds)
        // Tokens 3 and 4 stand in both: at distances 1 and 0 of the first window's edge, 0 and 1 of the second's.
        val outputs = read.rows.mapIndexed { window, row -> FloatArray(row.tokens) { 10f * window + it } }
        assertArrayEquals(floatArrayOf(1f, 2f, 3f, 4f, 12f, 13f, 14f), read.joined(outputs, 1))
        assertEquals(1, RowMaker(tokenizer, 9, null).windows(text).rows.size)
        assertTrue(RowMaker(tokenizer, 9, null).windows("").empty)
        assertThrows<KzooException> { RowMaker(tokenizer, 4, null, 2).windows(text) }
    }

    @Test
    fun `a text without a token is a sentence before the model runs, and no letter is asked of a vocabulary`() {
        val model = """{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":9,"vocab":{"[UNK]":0,"<s>":1,"</s>":2,"b":3}}"""
        fun tokenizer(parts: String) = Tokenizer.read("""{"normalizer":null,"pre_tokenizer":{"type":"WhitespaceSplit"},"added_tokens":[],"model":$model,$parts}""".byteInputStream())
        val plain = RowMaker(tokenizer("\"post_processor\":null"), 8, null)
        for (read in listOf<() -> Any>({ plain.row("") }, { plain.row(" \t ") }, { plain.row("", "") }, { plain.windows(" ") }, { plain.windows("", "") })) {
            assertTrue(assertThrows<KzooException> { read() }.message!!.startsWith("The text has no token"))
        }
        assertArrayEquals(intArrayOf(3), plain.row("b").rows[0].tokenIds)
        val template = """"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],
            "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]},"</s>":{"id":"</s>","ids":[2],"tokens":["</s>"]}}}"""
        val noUnknown = Tokenizer.read("""{"normalizer":null,"pre_tokenizer":null,"added_tokens":[],"model":{"type":"BPE","vocab":{"<s>":1,"</s>":2,"b":3},"merges":[]},$template}""".byteInputStream())
        assertArrayEquals(intArrayOf(1, 3, 2), RowMaker(noUnknown, 8, null).row("b").rows[0].tokenIds)
        assertArrayEquals(intArrayOf(0, 1), RowMaker(noUnknown, 8, null).row("b", "b").rows[0].inputs[SEGMENT_IDS])
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
