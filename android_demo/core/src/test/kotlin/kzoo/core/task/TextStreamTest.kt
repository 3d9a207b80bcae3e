package kzoo.core.task

import kzoo.core.tokenizer.Tokenizer
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Test

/** Text comes out in whole characters, and all of it. */
class TextStreamTest {
    private val text = "A caf\u00e9, na\u00efve \u65e5\u672c\u8a9e \uD83D\uDE00 and \uD83D\uDC4D\uD83C\uDFFD!  Two  spaces."

    private fun tokenizer(name: String) = Tokenizer::class.java.getResourceAsStream("$name.json")!!.use { Tokenizer.read(it) }

    private fun pieces(tokenizer: Tokenizer, ids: IntArray) = TextStream(tokenizer).let { stream -> ids.map(stream::push) + stream.close() }

    @Test
    fun `pieces joined are the text, and none has half a character`() {
        for (name in listOf("gpt2", "roberta", "xlnet", "bert_uncased", "t5", "llama")) {
            val tokenizer = tokenizer(name)
            val ids = tokenizer.encode(text).ids
            val pieces = pieces(tokenizer, ids)
            assertEquals(tokenizer.decode(ids), pieces.joinToString(""), name)
            for (piece in pieces) assertFalse(piece.any { it == '\uFFFD' } || piece.firstOrNull()?.isLowSurrogate() == true, "$name: $piece")
        }
        assertEquals(text, pieces(tokenizer("gpt2"), tokenizer("gpt2").encode(text, addSpecialTokens = false).ids).joinToString(""))
    }

    @Test
    fun `bytes that are no character come out once nothing can mend them`() {
        val tokenizer = tokenizer("gpt2")
        val whole = tokenizer.encode("a\uD83D\uDE00", addSpecialTokens = false).ids
        val broken = whole.copyOf(whole.size - 1) // The last byte of the character is not there.
        val pieces = pieces(tokenizer, broken)
        assertEquals(listOf("a", "\uFFFD"), listOf(pieces.first(), pieces.last()))
        assertEquals(tokenizer.decode(broken), pieces.joinToString(""))
        val after = broken + tokenizer.encode("b", addSpecialTokens = false).ids
        assertEquals("\uFFFDb", pieces(tokenizer, after).drop(broken.size).joinToString(""))
    }
}
