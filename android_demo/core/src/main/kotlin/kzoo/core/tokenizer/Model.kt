package kzoo.core.tokenizer

/** Turns a piece into tokens: the "model" of a tokenizer.json. */
internal interface Model {
    val vocabulary: Vocabulary

    /** Tokens that the vocabulary counts, as an added token's id is one beyond them. */
    val size: Int get() = vocabulary.size

    fun tokenize(piece: NormalizedText, out: Tokens)
}

/**
 * The tokens of one text: ids, the code points of the user's text that each stands for, and the
 * number of the piece that it was cut from.
 */
internal class Tokens(private val vocabulary: Vocabulary) {
    val ids = IntList()
    val starts = IntList()
    val ends = IntList()
    val words = IntList()
    private var word = 0
    private val ownText = HashMap<Int, String>()

    /** The token of [text] from code point [from] to [to]; [own] where it isn't the vocabulary's. */
    fun add(id: Int, text: NormalizedText, from: Int, to: Int, own: String? = null) {
        if (own != null) ownText[ids.size] = own
        ids.add(id)
        starts.add(text.sources[from])
        ends.add(text.sources[to - 1] + 1)
        words.add(word)
    }

    /** What comes next is of another piece that the pre-tokenizer cut, or of an added token. */
    fun endWord() {
        word++
    }

    fun string(token: Int): String = ownText[token] ?: vocabulary.piece(ids[token]) ?: ""
}
