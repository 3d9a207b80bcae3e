package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.json.Json
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.assertThrows
import java.io.File
import java.io.FileInputStream
import java.security.MessageDigest

/** What `benchmarks/tokenizer_parity/fixtures.py` got from Hugging Face's `tokenizers`. */
class FixturesTest {
    private val folder = File(FixturesTest::class.java.getResource("digests.json")!!.toURI()).parentFile

    @TestFactory
    fun `ids, tokens, offsets and texts are the library's`(): List<DynamicTest> {
        val files = folder.listFiles()!!.filter { it.name.endsWith(".cases.jsonl") }.sorted()
        assertTrue(files.size > 15)
        return files.map { file ->
            val name = file.name.removeSuffix(".cases.jsonl")
            dynamicTest(name) {
                val tokenizer = File(folder, "$name.json").inputStream().use { Tokenizer.read(it) }
                for (line in file.readLines()) check(tokenizer, Json.parse(line) as Map<*, *>)
            }
        }
    }

    private fun check(tokenizer: Tokenizer, case: Map<*, *>) {
        val text = case["text"] as String
        val pair = case["pair"] as String?
        val special = case["special"] as Boolean
        if ("error" in case) {
            assertThrows<KzooException> { tokenizer.encode(text, pair, special) }
            return
        }
        val encoding = tokenizer.encode(text, pair, special)
        val what = "of $text and $pair"
        assertEquals(case["tokens"], encoding.tokens, "tokens $what")
        assertArrayEquals(numbers(case["ids"]), encoding.ids, "ids $what")
        assertArrayEquals(numbers(case["type_ids"]), encoding.typeIds, "types $what")
        assertArrayEquals(numbers(case["attention_mask"]), encoding.attentionMask, "attention $what")
        assertArrayEquals(numbers(case["special_tokens_mask"]), encoding.specialTokensMask, "special tokens $what")
        val offsets = (case["offsets"] as List<*>).map { it as List<*> }
        for (i in 0 until encoding.size) {
            val source = if (encoding.sequenceIds[i] == 1) pair!! else text
            val found = codePointOffsets(source, intArrayOf(encoding.starts[i], encoding.ends[i]))
            assertArrayEquals(numbers(offsets[i]), found, "offsets of token $i $what")
        }
        assertEquals(case["decoded"], tokenizer.decode(encoding.ids), "decoded $what")
        assertEquals(case["decoded_all"], tokenizer.decode(encoding.ids, skipSpecialTokens = false), "decoded $what")
    }

    private fun numbers(list: Any?) = (list as List<*>).map { (it as Long).toInt() }.toIntArray()

    @TestFactory
    fun `every code point is what it is to the library`(): List<DynamicTest> {
        val digests = Json.parse(File(folder, "digests.json").reader()) as Map<*, *>
        return digests.map { (name, entry) ->
            val piece = (entry as Map<*, *>)["piece"]
            dynamicTest(name as String) { assertEquals(entry["digest"], digest(piece as Map<*, *>)) }
        }
    }

    private fun digest(piece: Map<*, *>): String {
        val reader = TokenizerReader("{}".byteInputStream())
        val isSplitter = piece["type"] in SPLITTERS
        val normalizer = if (isSplitter) null else reader.normalizer(Fields(piece))
        val splitter = if (isSplitter) reader.preTokenizer(Fields(piece)) else null
        val digest = MessageDigest.getInstance("SHA-256")
        for (point in 0..0x10FFFF) {
            if (point in 0xD800..0xDFFF) continue
            if (point >= 0x32400 && point !in 0xE0000..0xE01FF && point % 97 != 0) continue
            val c = String(Character.toChars(point))
            val text = NormalizedText.of("a${c}b$c\u0300\u0323\u00a9\u200d$c\u0301$c\u1161\u11a8 $c")
            val line = if (splitter == null) normalizer!!.normalize(text).toString() else {
                val parts = ArrayList<NormalizedText>().also { splitter.split(text, it) }
                parts.joinToString(" ") { "${it.sources[it.from]}-${it.sources[it.to - 1] + 1}" }
            }
            digest.update((line + "\n").toByteArray())
        }
        return digest.digest().joinToString("") { (it.toInt() and 0xFF or 0x100).toString(16).drop(1) }
    }

    @Test
    fun `the preset that ships is read`() {
        val preset = File(System.getProperty("root"), "../presets/bert_minilm_l6_en_uncased.sst2/tokenizer.json")
        val tokenizer = FileInputStream(preset).use { Tokenizer.read(it) }
        val encoding = tokenizer.encode("A naïve, unaffable film.")
        assertEquals(
            listOf("[CLS]", "a", "naive", ",", "una", "##ffa", "##ble", "film", ".", "[SEP]"), encoding.tokens,
        )
        assertArrayEquals(intArrayOf(0, 0, 2, 7, 9, 12, 15, 19, 23, 0), encoding.starts)
        assertArrayEquals(intArrayOf(0, 1, 7, 8, 12, 15, 18, 23, 24, 0), encoding.ends)
        assertEquals("a naive, unaffable film.", tokenizer.decode(encoding.ids))
    }

    private companion object {
        val SPLITTERS = setOf("BertPreTokenizer", "Whitespace", "Punctuation", "Digits", "ByteLevel", "Split")
    }
}
