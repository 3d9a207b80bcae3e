package kzoo.core.tokenizer

import kzoo.core.unicode.Changes

/**
 * A stretch of text on its way to tokens: code points, and for each the code point of the user's
 * text that it stands for.
 *
 * Hugging Face's NormalizedString holds a range for each byte; since no step ever widens a range,
 * that range is always one character, and its number is enough.
 */
internal class NormalizedText(val points: IntArray, val sources: IntArray, val from: Int, val to: Int) {
    val size get() = to - from

    fun slice(from: Int, to: Int) = NormalizedText(points, sources, from, to)

    fun startsWith(point: Int) = from < to && points[from] == point

    override fun toString() = String(points, from, size)

    inline fun any(test: (Int) -> Boolean): Boolean {
        for (i in from until to) if (test(points[i])) return true
        return false
    }

    inline fun filter(keep: (Int) -> Boolean): NormalizedText {
        val out = TextBuffer(size)
        for (i in from until to) if (keep(points[i])) out.add(points[i], sources[i])
        return out.text()
    }

    inline fun map(change: (Int) -> Int): NormalizedText {
        val changed = IntArray(size) { change(points[from + it]) }
        return NormalizedText(changed, sources.copyOfRange(from, to), 0, size)
    }

    companion object {
        /** Unpaired surrogates become U+FFFD, as they do when Java writes UTF-8. */
        fun of(text: String): NormalizedText {
            val points = IntArray(text.length)
            var size = 0
            var at = 0
            while (at < text.length) {
                val char = text[at++]
                points[size++] = when {
                    !char.isSurrogate() -> char.code
                    char.isHighSurrogate() && at < text.length && text[at].isLowSurrogate() ->
                        0x10000 + (char.code - 0xD800 shl 10) + (text[at++].code - 0xDC00)
                    else -> 0xFFFD
                }
            }
            return NormalizedText(points, IntArray(size) { it }, 0, size)
        }
    }
}

internal fun codePoints(text: String): IntArray = NormalizedText.of(text).run { points.copyOf(to) }

/** Collects code points and their sources. */
internal class TextBuffer(capacity: Int) {
    var points = IntArray(capacity + 8)
        private set
    var sources = IntArray(capacity + 8)
        private set
    var size = 0
        private set

    fun add(point: Int, source: Int) {
        if (size == points.size) {
            points = points.copyOf(size * 2)
            sources = sources.copyOf(size * 2)
        }
        points[size] = point
        sources[size++] = source
    }

    fun text(from: Int = 0, to: Int = size) = NormalizedText(points, sources, from, to)
}

/** Writes what `Changes` describe over [text]: an added code point lies where the last one does. */
internal class Rewriter(private val text: NormalizedText) : Changes {
    private val out = TextBuffer(text.size)
    private var at = text.from

    override fun put(point: Int, change: Int) {
        out.add(point, text.sources[(if (change > 0) at - 1 else at).coerceIn(text.from, text.to - 1)])
        if (change <= 0) at += 1 - change
    }

    fun text() = out.text()
}
