package kzoo.core.tokenizer

import kzoo.core.unicode.Unicode

/** Splits a text into the pieces that the model gets: the "pre_tokenizer" of a tokenizer.json. */
internal fun interface PreTokenizer {
    fun split(piece: NormalizedText, out: MutableList<NormalizedText>)
}

internal class PreTokenizerSequence(private val steps: List<PreTokenizer>) : PreTokenizer {
    override fun split(piece: NormalizedText, out: MutableList<NormalizedText>) {
        var pieces: List<NormalizedText> = listOf(piece)
        for (step in steps) {
            val parts = ArrayList<NormalizedText>()
            for (each in pieces) step.split(each, parts)
            pieces = parts
        }
        out += pieces
    }
}

/** What becomes of a match. */
internal enum class Behavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous }

internal class Split(
    private val pattern: Pattern,
    private val behavior: Behavior,
    private val isInverted: Boolean = false,
) : PreTokenizer {
    override fun split(piece: NormalizedText, out: MutableList<NormalizedText>) {
        if (behavior == Behavior.Removed || behavior == Behavior.Isolated) {
            pattern.forEachPart(piece) { from, to, isMatch ->
                if (behavior == Behavior.Isolated || isMatch == isInverted) out += piece.slice(from, to)
            }
        } else {
            merge(piece, out)
        }
    }

    private fun merge(piece: NormalizedText, out: MutableList<NormalizedText>) {
        val bounds = IntList()
        val matches = ArrayList<Boolean>()
        pattern.forEachPart(piece) { from, _, isMatch ->
            bounds.add(from)
            matches += isMatch != isInverted
        }
        bounds.add(piece.to)
        var start = 0
        for (i in matches.indices) {
            if (i + 1 < matches.size && joins(matches, i)) continue
            out += piece.slice(bounds[start], bounds[i + 1])
            start = i + 1
        }
    }

    /** Whether part i belongs to the one after it. Of matches in a row only the nearest does. */
    private fun joins(isMatch: List<Boolean>, i: Int) = when (behavior) {
        Behavior.MergedWithNext -> isMatch[i] && !isMatch[i + 1]
        Behavior.MergedWithPrevious -> !isMatch[i] && isMatch[i + 1]
        else -> isMatch[i] == isMatch[i + 1]
    }
}

internal object WhitespaceSplit : PreTokenizer {
    override fun split(piece: NormalizedText, out: MutableList<NormalizedText>) {
        var start = piece.from
        for (i in piece.from until piece.to) {
            if (!Unicode.isSpace(piece.points[i])) continue
            if (start < i) out += piece.slice(start, i)
            start = i + 1
        }
        if (start < piece.to) out += piece.slice(start, piece.to)
    }
}

/** White space goes, each punctuation mark stands alone. */
internal object BertPreTokenizer : PreTokenizer {
    override fun split(piece: NormalizedText, out: MutableList<NormalizedText>) {
        var start = piece.from
        for (i in piece.from until piece.to) {
            val point = piece.points[i]
            val isMark = Unicode.isPunctuation(point)
            if (!isMark && !Unicode.isSpace(point)) continue
            if (start < i) out += piece.slice(start, i)
            if (isMark) out += piece.slice(i, i + 1)
            start = i + 1
        }
        if (start < piece.to) out += piece.slice(start, piece.to)
    }
}

/** Words, and runs of what is neither word nor white space. */
internal object Whitespace : PreTokenizer {
    private fun kind(point: Int) = if (Unicode.isSpace(point)) 0 else if (Unicode.isWord(point)) 1 else 2

    override fun split(piece: NormalizedText, out: MutableList<NormalizedText>) {
        var start = piece.from
        for (i in piece.from + 1..piece.to) {
            val kind = kind(piece.points[start])
            if (i < piece.to && kind(piece.points[i]) == kind) continue
            if (kind != 0) out += piece.slice(start, i)
            start = i
        }
    }
}

internal enum class PrependScheme { FIRST, NEVER, ALWAYS }

/** SentencePiece's spaces: each becomes a visible mark, and starts a piece. */
internal class Metaspace(
    private val replacement: Int,
    private val scheme: PrependScheme,
    private val splits: Boolean,
) : PreTokenizer {
    private val split = Split(OnePoint { it == replacement }, Behavior.MergedWithNext)

    override fun split(piece: NormalizedText, out: MutableList<NormalizedText>) {
        var text = piece.map { if (it == ' '.code) replacement else it }
        val isAtStart = scheme == PrependScheme.ALWAYS || scheme == PrependScheme.FIRST && text.sources[0] == 0
        if (isAtStart && !text.startsWith(replacement)) text = prepend(text, intArrayOf(replacement))
        if (splits) split.split(text, out) else out += text
    }
}

/** GPT-2's: each byte of the text's UTF-8 becomes a visible character. */
internal class ByteLevel(private val addsSpace: Boolean, private val splits: Boolean) : PreTokenizer {
    override fun split(piece: NormalizedText, out: MutableList<NormalizedText>) {
        val spaced = addsSpace && !piece.startsWith(' '.code)
        val text = if (spaced) prepend(piece, intArrayOf(' '.code)) else piece
        val bytes = TextBuffer(utf8Length(text.points, text.from, text.to))
        val ends = IntList()
        if (splits) Gpt2Words.forEachPart(text) { from, to, _ ->
            toBytes(text, from, to, bytes)
            ends.add(bytes.size)
        } else {
            toBytes(text, text.from, text.to, bytes)
            ends.add(bytes.size)
        }
        for (i in 0 until ends.size) out += bytes.text(if (i == 0) 0 else ends[i - 1], ends[i])
    }

    companion object Alphabet : Normalizer {
        /** Which character stands for a byte: itself where it can be seen, else one from U+0100 on. */
        val characters: IntArray = IntArray(256).also {
            var next = 256
            for (byte in 0..255) {
                val isVisible = byte in 0x21..0x7E || byte in 0xA1..0xAC || byte in 0xAE..0xFF
                it[byte] = if (isVisible) byte else next++
            }
        }

        private val bytes = IntArray(512) { -1 }.also { for (byte in 0..255) it[characters[byte]] = byte }

        /** The byte that a character stands for, or -1. */
        fun byte(point: Int) = if (point < 512) bytes[point] else -1

        override fun normalize(text: NormalizedText): NormalizedText =
            TextBuffer(utf8Length(text.points, text.from, text.to)).also { toBytes(text, text.from, text.to, it) }.text()

        private fun toBytes(text: NormalizedText, from: Int, to: Int, out: TextBuffer) {
            for (i in from until to) {
                val point = text.points[i]
                if (point < 0x80) {
                    out.add(characters[point], text.sources[i])
                } else {
                    val length = utf8Length(point)
                    for (n in 0 until length) out.add(characters[utf8Byte(point, length, n)], text.sources[i])
                }
            }
        }
    }
}

/** A list of numbers that aren't boxed. */
internal class IntList(capacity: Int = 16) {
    private var values = IntArray(capacity)
    var size = 0
        private set

    operator fun get(index: Int) = values[index]

    operator fun set(index: Int, value: Int) {
        values[index] = value
    }

    fun add(value: Int) {
        if (size == values.size) values = values.copyOf(size * 2)
        values[size++] = value
    }

    fun toArray(): IntArray = values.copyOf(size)
}
