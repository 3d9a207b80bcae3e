package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.unicode.Unicode

/** What a text is searched for: the regular expressions that tokenizers use, written out. */
internal abstract class Pattern {
    /** Where a match that starts at [at] ends; [at] itself if none does. */
    abstract fun matchEnd(points: IntArray, at: Int, to: Int): Int

    /** The text from left to right: matches, and what stands between them. */
    inline fun forEachPart(text: NormalizedText, part: (from: Int, to: Int, isMatch: Boolean) -> Unit) {
        var last = text.from
        var at = text.from
        while (at < text.to) {
            val end = matchEnd(text.points, at, text.to)
            if (end == at) {
                at++
                continue
            }
            if (last < at) part(last, at, false)
            part(at, end, true)
            last = end
            at = end
        }
        if (last < text.to) part(last, text.to, false)
    }

    companion object {
        private const val CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
        private const val CLIP = "$CONTRACTIONS|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
        private const val CLIP_MARKS = "<\\|startoftext\\|>|<\\|endoftext\\|>"

        /** The pattern of a regular expression, or a KzooException that names it. */
        fun ofRegex(regex: String): Pattern = when (regex) {
            "$CONTRACTIONS| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" -> Gpt2Words
            CLIP -> ClipWords(listOf())
            "$CLIP_MARKS|$CLIP" -> ClipWords(listOf("<|startoftext|>", "<|endoftext|>").map { Literal(it) })
            "\\s+" -> Repeated(1, Unicode::isSpace)
            "\\s" -> OnePoint(Unicode::isSpace)
            " {2,}" -> Repeated(2) { it == ' '.code }
            " +" -> Repeated(1) { it == ' '.code }
            else -> {
                if (regex.isEmpty() || regex.any { it in "\\^$.|?*+()[]{}" }) {
                    throw KzooException(
                        "The regular expression ${shown(regex)} of this tokenizer isn't supported: " +
                            "those of GPT-2, RoBERTa, CLIP and SentencePiece models, and plain text, are."
                    )
                }
                Literal(regex)
            }
        }
    }
}

internal class Literal(private val content: IntArray) : Pattern() {
    constructor(text: String) : this(codePoints(text))

    override fun matchEnd(points: IntArray, at: Int, to: Int): Int {
        if (to - at < content.size) return at
        for (i in content.indices) if (points[at + i] != content[i]) return at
        return at + content.size
    }
}

internal class OnePoint(private val test: (Int) -> Boolean) : Pattern() {
    override fun matchEnd(points: IntArray, at: Int, to: Int) = if (test(points[at])) at + 1 else at
}

internal class Repeated(private val least: Int, private val test: (Int) -> Boolean) : Pattern() {
    override fun matchEnd(points: IntArray, at: Int, to: Int): Int {
        var end = at
        while (end < to && test(points[end])) end++
        return if (end - at < least) at else end
    }
}

private val CONTRACTIONS = listOf("'s", "'t", "'re", "'ve", "'m", "'ll", "'d").map { Literal(it) }

private fun contractionEnd(points: IntArray, at: Int, to: Int): Int {
    if (points[at] == '\''.code) {
        for (each in CONTRACTIONS) {
            val end = each.matchEnd(points, at, to)
            if (end > at) return end
        }
    }
    return at
}

private enum class Kind { LETTER, NUMBER, SPACE, OTHER }

private fun kind(point: Int) = when {
    Unicode.isLetter(point) -> Kind.LETTER
    Unicode.isNumber(point) -> Kind.NUMBER
    Unicode.isSpace(point) -> Kind.SPACE
    else -> Kind.OTHER
}

private fun kindEnd(points: IntArray, at: Int, to: Int): Int {
    val kind = kind(points[at])
    var end = at + 1
    while (end < to && kind(points[end]) == kind) end++
    return end
}

/** Contractions; a run of one kind with a space before it; white space but the last before a word. */
internal object Gpt2Words : Pattern() {
    override fun matchEnd(points: IntArray, at: Int, to: Int): Int {
        val contraction = contractionEnd(points, at, to)
        if (contraction > at) return contraction
        val start = if (points[at] == ' '.code && at + 1 < to) at + 1 else at
        if (kind(points[start]) != Kind.SPACE) return kindEnd(points, start, to)
        val end = kindEnd(points, at, to)
        return if (end == to || end - at == 1) end else end - 1
    }
}

/** Marks; contractions; letters together, each number alone, the rest but white space together. */
internal class ClipWords(private val marks: List<Literal>) : Pattern() {
    override fun matchEnd(points: IntArray, at: Int, to: Int): Int {
        for (mark in marks) mark.matchEnd(points, at, to).let { if (it > at) return it }
        val contraction = contractionEnd(points, at, to)
        if (contraction > at) return contraction
        return when (kind(points[at])) {
            Kind.SPACE -> at
            Kind.NUMBER -> at + 1
            else -> kindEnd(points, at, to)
        }
    }
}
