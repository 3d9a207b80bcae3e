package kzoo.core.task

import kzoo.core.tokenizer.Tokenizer

/**
 * The text of tokens as they come, by the rules of kzoo/generation/streaming.py; the pieces joined are
 * what `decode` makes of the whole.
 *
 * A piece is held back while its end may still change: the last bytes of a character that isn't whole,
 * and a run of SentencePiece's byte tokens, of which one wrong byte changes the text of all.
 */
class TextStream(private val tokenizer: Tokenizer) {
    /** The last tokens whose text was taken: a text's first token may be decoded otherwise. */
    private var context = IntArray(0)

    /** Tokens whose text isn't settled yet, and how much of it was taken. */
    private var fresh = IntArray(0)
    private var taken = 0

    /** The piece of text that is certain now that a token came; often empty. */
    fun push(id: Int): String {
        fresh += id
        // A special token has no text, and so doesn't end a run of bytes.
        if (tokenizer.isSpecial(id) || tokenizer.token(id)?.let(BYTE::matches) == true) return ""
        val text = behind()
        if (text.endsWith(BROKEN)) { // One broken character at most is yet to be whole.
            val piece = text.substring(minOf(taken, text.length - 1), text.length - 1)
            taken = maxOf(taken, text.length - 1)
            return piece
        }
        val piece = text.drop(taken)
        context = fresh
        fresh = IntArray(0)
        taken = 0
        return piece
    }

    /** The rest, as the last token came. */
    fun close(): String {
        val piece = behind().drop(taken)
        fresh = IntArray(0)
        taken = 0
        return piece
    }

    /** The text of the fresh tokens behind their context. */
    private fun behind(): String = tokenizer.decode(context + fresh).drop(tokenizer.decode(context).length)

    private companion object {
        val BYTE = Regex("<0x[0-9A-F]{2}>")

        /** What a decoder writes for bytes that are no character, or none yet. */
        const val BROKEN = '\uFFFD'
    }
}
