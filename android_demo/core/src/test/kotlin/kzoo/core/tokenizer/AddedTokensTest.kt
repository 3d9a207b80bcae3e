package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.json.Json
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** Added tokens and decoders that no fixture has; what is expected is what `tokenizers` 0.23.3 gives. */
class AddedTokensTest {
    private fun added(content: String, vararg options: String) = mapOf("id" to 3, "content" to content) +
        listOf("single_word", "lstrip", "rstrip", "normalized", "special").associateWith { it in options }

    private fun tokenizer(vararg tokens: Map<String, Any>, normalizer: String = "null") = Tokenizer.read(
        """{"normalizer": $normalizer, "added_tokens": ${Json.write(tokens.mapIndexed { i, it -> it + ("id" to 3 + i) })},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, " ": 2}, "merges": []}}""".byteInputStream(),
    )

    private fun Tokenizer.parts(text: String) = encode(text).run { tokens.indices.map { text.substring(starts[it], ends[it]) } }

    @Test
    fun `a token of white space takes no white space twice`() {
        val both = tokenizer(added("\n", "lstrip", "rstrip"))
        assertEquals(listOf("a", "\n\n", "b"), both.parts("a\n\nb"))
        assertEquals(listOf("a", "\n\n\n  \n", "b"), both.parts("a\n\n\n  \nb"))
        assertEquals(listOf("a", "\n\n", "\n", "b"), tokenizer(added("\n", "rstrip")).parts("a\n\nb"))
        assertEquals(listOf("a", " \n", "\n", "b"), tokenizer(added("\n", "lstrip")).parts("a \n\nb"))
        val plain = tokenizer(added("<x>", "rstrip"), added("\n"))
        assertEquals(listOf("a", "<x>\n\n", "\n", "\n", "b"), plain.parts("a<x>\n\nb"))
        // Where that library panics: the token before has taken all of this one.
        val taken = tokenizer(added("<x>", "rstrip"), added("\n", "lstrip"))
        assertEquals(listOf("a", "<x>\n\n", "b"), taken.parts("a<x>\n\nb"))
    }

    @Test
    fun `a single word touches no other, on either side`() {
        val words = tokenizer(added("<m>", "single_word"))
        assertEquals(listOf("a", " ", "b", " ", "<m>", " ", "b"), words.encode("a<m> <m>b <m> b").tokens)
    }

    @Test
    fun `a token of which the normalizer leaves nothing is named`() {
        val error = assertThrows<KzooException> { tokenizer(added("\u0301", "normalized"), normalizer = """{"type": "StripAccents"}""") }
        assertTrue("\"\u0301\"" in error.message!! && error.message!!.endsWith("."), error.message)
    }

    @Test
    fun `WordPiece's decoder shortens "do not"`() {
        assertEquals(listOf("I", " don't", "ing"), WordPieceDecoder("##", true).decode(listOf("I", "do not", "##ing")))
    }
}
