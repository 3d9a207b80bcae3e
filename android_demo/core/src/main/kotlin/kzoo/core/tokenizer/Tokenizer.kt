package kzoo.core.tokenizer

import kzoo.core.KzooException
import java.io.InputStream

internal enum class Strategy { LongestFirst, OnlyFirst, OnlySecond }

internal class Truncation(val maxLength: Int, val strategy: Strategy, val isFromLeft: Boolean)

internal class Padding(
    val length: Int?, // None pads to a multiple only.
    val multipleOf: Int,
    val isLeft: Boolean,
    val id: Int,
    val type: Int,
    val token: String,
)

/**
 * A tokenizer.json, with the ids, tokens and offsets of Hugging Face's `tokenizers`.
 *
 * Nothing changes after [read], so one object serves several threads. An unpaired surrogate counts
 * as U+FFFD, which is also what it becomes when text is written as UTF-8; offsets still count the
 * text as it came.
 */
class Tokenizer internal constructor(
    private val normalizer: Normalizer?,
    private val preTokenizer: PreTokenizer?,
    private val model: Model,
    private val addedTokens: AddedTokens,
    private val postProcessor: PostProcessor?,
    private val shared: SharedVocabulary?,
    private val decoder: Decoder?,
    private val truncation: Truncation?,
    private val padding: Padding?,
) {
    /**
     * The tokens of a text, or of a text and its pair.
     *
     * [maxLength]: tokens at most, special ones included, instead of the file's own limit.
     */
    fun encode(text: String, pair: String? = null, addSpecialTokens: Boolean = true, maxLength: Int? = null): Encoding {
        val texts = listOfNotNull(text, pair)
        val limit = if (maxLength == null) truncation else
            Truncation(maxLength, truncation?.strategy ?: Strategy.LongestFirst, truncation?.isFromLeft ?: false)
        var parts = texts.mapIndexed { number, each -> split(each, number) }
        if (limit != null) parts = truncate(parts, limit, addSpecialTokens)
        return finish(texts, parts, addSpecialTokens)
    }

    /** Whether a text that is too long loses its start, and not its end. */
    val truncatesFromLeft: Boolean get() = truncation?.isFromLeft ?: false

    /** Whether the pre-tokenizer parts words at spaces. */
    private val cutsWords: Boolean by lazy {
        val text = NormalizedText.of("a a")
        val pieces = ArrayList<NormalizedText>()
        preTokenizer?.split(normalizer?.normalize(text) ?: text, pieces)
        pieces.count { it.size > 0 } > 1
    }

    /** How many special tokens stand around one text, or around two. */
    fun specialTokenCount(isPair: Boolean): Int = postProcessor?.addedTokens(isPair) ?: 0

    /**
     * What stands around one text, or around two, of one token each: that needs no text of which
     * this vocabulary has a token.
     */
    internal fun frame(isPair: Boolean): Encoding {
        val texts = List(if (isPair) 2 else 1) { Encoding.ofText(intArrayOf(0), listOf("a"), intArrayOf(0), intArrayOf(1), it, intArrayOf(0)) }
        return Encoding.join(postProcessor?.process(texts, addsSpecial = true) ?: texts)
    }

    /** The id of a token, or null. */
    fun id(token: String): Int? = addedTokens.id(token)

    /** The token with an id, or null. */
    fun token(id: Int): String? = addedTokens.string(id) ?: model.vocabulary.piece(id)?.let(SharedVocabulary::unmarked)

    /** Whether a token shows in no text. */
    fun isSpecial(id: Int): Boolean = token(id)?.let(addedTokens::isSpecial) ?: false

    /** The text that ids stand for; ids that don't exist are left out. */
    fun decode(ids: IntArray, skipSpecialTokens: Boolean = true): String {
        val tokens = ids.map { token(it) }.filterNotNull().filter { !skipSpecialTokens || !addedTokens.isSpecial(it) }
        if (decoder == null) return tokens.joinToString(" ")
        return decoder.decode(tokens).joinToString("")
    }

    /** Tokens without special ones; their offsets are still code points. */
    private fun split(text: String, number: Int): Encoding {
        val tokens = Tokens(model.vocabulary)
        val pieces = ArrayList<NormalizedText>()
        addedTokens.split(
            NormalizedText.of(text),
            { id, found ->
                tokens.add(id, found, found.from, found.to, found.toString())
                tokens.endWord()
            },
            { between ->
                pieces.clear()
                if (preTokenizer == null) pieces += between else preTokenizer.split(between, pieces)
                for (piece in pieces) if (piece.size > 0) {
                    model.tokenize(piece, tokens)
                    tokens.endWord()
                }
            },
        )
        val strings = List(tokens.ids.size) { tokens.string(it) }
        val words = if (cutsWords) tokens.words.toArray() else IntArray(tokens.ids.size) { -1 }
        val ids = tokens.ids.toArray().let { shared?.ids(it, strings, model.vocabulary) ?: it }
        return Encoding.ofText(ids, strings, tokens.starts.toArray(), tokens.ends.toArray(), number, words)
    }

    private fun truncate(parts: List<Encoding>, limit: Truncation, addSpecialTokens: Boolean): List<Encoding> {
        val special = if (addSpecialTokens) specialTokenCount(parts.size == 2) else 0
        val room = limit.maxLength - special
        if (room < 0) {
            throw KzooException("A length of ${limit.maxLength} tokens leaves no room: the special tokens alone are $special.")
        }
        val total = parts.sumOf { it.size }
        if (total <= room) return parts
        fun cut(part: Encoding, length: Int) =
            if (length >= part.size) part
            else if (limit.isFromLeft) part.slice(part.size - length, part.size)
            else part.slice(0, length)
        if (room == 0) return parts.map { cut(it, 0) }
        if (limit.strategy == Strategy.LongestFirst) {
            if (parts.size == 1) return listOf(cut(parts[0], room))
            var short = minOf(parts[0].size, parts[1].size)
            var long = if (short > room) short else maxOf(short, room - short)
            if (short + long > room) {
                short = room / 2
                long = short + room % 2
            }
            val firstIsShort = parts[0].size <= parts[1].size
            return listOf(cut(parts[0], if (firstIsShort) short else long), cut(parts[1], if (firstIsShort) long else short))
        }
        val which = if (limit.strategy == Strategy.OnlyFirst) 0 else 1
        if (which == parts.size) throw KzooException("This tokenizer shortens the second text only, and none came.")
        val rest = parts[which].size - (total - room)
        if (rest <= 0) throw KzooException("The text that may be shortened is too short to bring $total tokens down to $room.")
        return parts.mapIndexed { number, part -> if (number == which) cut(part, rest) else part }
    }

    private fun finish(texts: List<String>, parts: List<Encoding>, addSpecialTokens: Boolean): Encoding {
        val processed = postProcessor?.process(parts, addSpecialTokens) ?: parts
        val joined = Encoding.join(processed.map { part ->
            val sequence = part.sequenceIds.firstOrNull() ?: -1
            if (sequence < 0) part else part.withOffsets(
                utf16Offsets(texts[sequence], part.starts), utf16Offsets(texts[sequence], part.ends),
            )
        })
        return if (padding == null) joined else pad(joined, padding)
    }

    private fun pad(encoding: Encoding, padding: Padding): Encoding {
        var length = padding.length ?: encoding.size
        if (padding.multipleOf > 0) length += Math.floorMod(-length, padding.multipleOf)
        val missing = length - encoding.size
        if (missing <= 0) return encoding
        val pads = Encoding.ofSpecial(IntArray(missing) { padding.id }, List(missing) { padding.token }, padding.type, attention = 0)
        return Encoding.join(if (padding.isLeft) listOf(pads, encoding) else listOf(encoding, pads))
    }

    companion object {
        /** Reads a tokenizer.json; a KzooException names what it holds that isn't supported. */
        fun read(stream: InputStream): Tokenizer = TokenizerReader(stream).read()
    }
}
