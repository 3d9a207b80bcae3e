package kzoo.core.tokenizer

import kzoo.core.KzooException
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import java.lang.management.ManagementFactory
import java.util.concurrent.Callable
import java.util.concurrent.Executors

/** Damaged files are one sentence; hard texts have an answer, and soon. */
class HardCasesTest {
    private fun file(name: String) = HardCasesTest::class.java.getResourceAsStream("$name.json")!!.use { it.readBytes() }

    private fun tokenizer(name: String) = Tokenizer.read(file(name).inputStream())

    private fun refusal(json: String): String =
        assertThrows<KzooException> { Tokenizer.read(json.byteInputStream()) }.message!!.also {
            assertTrue(it.endsWith(".") && '\n' !in it, it)
        }

    /** Of this thread alone, so that a busy machine fails no test; quadratic time would take hours. */
    private fun processorSeconds(work: () -> Unit): Double {
        val threads = ManagementFactory.getThreadMXBean()
        val start = threads.currentThreadCpuTime
        work()
        return (threads.currentThreadCpuTime - start) / 1e9
    }

    @Test
    fun `a file that ends early is refused wherever it ends`() {
        for (name in listOf("bert_uncased", "t5", "clip")) {
            val bytes = file(name)
            for (end in bytes.indices step 97) {
                val error = assertThrows<KzooException> { Tokenizer.read(bytes.copyOf(end).inputStream()) }
                assertTrue("JSON" in error.message!!, error.message)
            }
        }
    }

    @Test
    fun `a changed byte is refused or gives another tokenizer, never another error`() {
        val bytes = file("clip")
        for (at in bytes.indices step 31) {
            val changed = bytes.copyOf().also { it[at] = (it[at].toInt() xor 0x15).toByte() }
            try {
                Tokenizer.read(changed.inputStream()).encode("Hello, world!")
            } catch (error: KzooException) {
                assertTrue(error.message!!.endsWith("."), error.message)
            }
        }
    }

    @Test
    fun `what isn't supported is named`() {
        fun model(rest: String) = """{"version": "1.0", $rest, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"""
        assertTrue("zzz" in refusal(model(""""zzz": null""")))
        assertTrue("CTC" in refusal(model(""""decoder": {"type": "CTC"}""")))
        assertTrue("UnicodeScripts" in refusal(model(""""pre_tokenizer": {"type": "UnicodeScripts"}""")))
        assertTrue("Fancy" in refusal(model(""""normalizer": {"type": "Sequence", "normalizers": [{"type": "Fancy"}]}""")))
        assertTrue("Odd" in refusal(model(""""post_processor": {"type": "Odd"}""")))
        assertTrue("a(b" in refusal(model(""""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a(b|c)"}, "behavior": "Isolated", "invert": false}""")))
        assertTrue("stride of 3" in refusal(model(""""truncation": {"max_length": 9, "strategy": "LongestFirst", "stride": 3}""")))
        assertTrue("WordLevel" in refusal("""{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"""))
        assertTrue("dropout" in refusal("""{"model": {"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}}"""))
    }

    @Test
    fun `what is missing or wrong is said`() {
        assertTrue("model" in refusal("{}"))
        assertTrue("vocab" in refusal("""{"model": {"type": "WordPiece"}}"""))
        assertTrue("merges" in refusal("""{"model": {"type": "BPE", "vocab": {"a": 0}}}"""))
        assertTrue("ab" in refusal("""{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}"""))
        assertTrue("unk_id" in refusal("""{"model": {"type": "Unigram", "unk_id": 4, "vocab": [["a", 0.0]]}}"""))
        assertTrue("list" in refusal("""{"model": {"type": "Unigram", "unk_id": 0, "vocab": {"a": 0}}}"""))
        assertTrue("max_input" in refusal("""{"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a", "continuing_subword_prefix": "##"}}"""))
        assertTrue("line 1, column 1" in refusal("nonsense"))
        assertTrue("object" in refusal("[1, 2]"))
        assertTrue("nested" in refusal("[".repeat(100_000).let { "{\"a\": $it" }))
    }

    @Test
    fun `text without anything to keep has only special tokens`() {
        for (text in listOf("", " ", "\u0000\u0001\u007f", "\u200b\ufeff")) {
            assertEquals(listOf("[CLS]", "[SEP]"), tokenizer("bert_uncased").encode(text).tokens)
        }
    }

    @Test
    fun `unpaired surrogates count as U+FFFD, offsets as the text has it`() {
        for (name in listOf("bert_uncased", "gpt2", "t5")) {
            val tokenizer = tokenizer(name)
            val odd = tokenizer.encode("a\uD83Db \uDE00😀 c")
            val even = tokenizer.encode("a\uFFFDb \uFFFD😀 c")
            assertArrayEquals(even.ids, odd.ids)
            assertArrayEquals(even.starts, odd.starts)
            assertArrayEquals(even.ends, odd.ends)
            assertEquals(9, odd.ends.max(), name)
        }
    }

    @Test
    fun `offsets count UTF-16 units, and convert to code points`() {
        val text = "😀 film 😀 film"
        val encoding = tokenizer("bert_uncased").encode(text, addSpecialTokens = false)
        for (i in 0 until encoding.size) assertTrue(encoding.ends[i] > encoding.starts[i])
        assertEquals("film", text.substring(11, 15))
        assertEquals(15, encoding.ends.last())
        assertArrayEquals(intArrayOf(0, 1, 2, 7, 12), codePointOffsets(text, intArrayOf(0, 2, 3, 8, 14)))
    }

    @Test
    fun `a word of a megabyte, and five megabytes of text, take no quadratic time`() {
        val words = listOf("ab".repeat(500_000), "\u0323\u0301".repeat(250_000))
        for (name in listOf("bert_uncased", "gpt2", "clip", "llama", "t5", "xlnet")) {
            val tokenizer = tokenizer(name)
            for (word in words) assertTrue(processorSeconds { tokenizer.encode(word) } < 10, name)
        }
        val text = "the film ".repeat(550_000)
        for (name in listOf("bert_uncased", "gpt2", "xlnet")) {
            val tokenizer = tokenizer(name)
            val took = processorSeconds {
                val encoding = tokenizer.encode(text, addSpecialTokens = false)
                assertTrue(encoding.size >= 550_000 && encoding.ends.last() >= text.length - 1, name)
            }
            assertTrue(took < 30, name)
        }
    }

    @Test
    fun `several threads may share a tokenizer`() {
        val texts = (0 until 500).map { "Text $it of the film, naïve ${it * 7919} ☺" }
        for (name in listOf("bert_uncased", "roberta", "t5")) {
            val shared = tokenizer(name)
            val expected = texts.map { tokenizer(name).encode(it).tokens }
            val pool = Executors.newFixedThreadPool(4)
            val found = pool.invokeAll(List(4) { Callable { texts.map { shared.encode(it).tokens } } })
            for (each in found) assertEquals(expected, each.get())
            pool.shutdown()
        }
    }

    @Test
    fun `a length cuts the longer text, and one without room is refused`() {
        val tokenizer = tokenizer("bert_uncased")
        val encoding = tokenizer.encode("short", "a much longer text than the first one is", maxLength = 10)
        assertEquals(10, encoding.size)
        assertEquals("[SEP]", encoding.tokens.last())
        assertThrows<KzooException> { tokenizer.encode("a", "b", maxLength = 2) }
    }
}
