package kzoo.core.tokenizer

/**
 * The tokens of a text, or of a pair: what a model gets, and where each token stands.
 *
 * [starts] and [ends] count UTF-16 units of the text that the token came from, which is what
 * Android's spans count; `codePointOffsets` converts them. Special tokens and padding stand at 0, 0
 * and have -1 in [sequenceIds]; the others 0 for the text, 1 for its pair. [words] numbers the pieces
 * that the pre-tokenizer cut each text into; -1 for special tokens, and for all tokens where it cuts
 * no words.
 */
class Encoding(
    val ids: IntArray,
    val typeIds: IntArray,
    val attentionMask: IntArray,
    val specialTokensMask: IntArray,
    val tokens: List<String>,
    val starts: IntArray,
    val ends: IntArray,
    val sequenceIds: IntArray,
    val words: IntArray,
) {
    val size get() = ids.size

    internal fun slice(from: Int, to: Int) = Encoding(
        ids.copyOfRange(from, to), typeIds.copyOfRange(from, to), attentionMask.copyOfRange(from, to),
        specialTokensMask.copyOfRange(from, to), tokens.subList(from, to), starts.copyOfRange(from, to),
        ends.copyOfRange(from, to), sequenceIds.copyOfRange(from, to), words.copyOfRange(from, to),
    )

    internal fun withType(type: Int) = Encoding(
        ids, IntArray(size) { type }, attentionMask, specialTokensMask, tokens, starts, ends, sequenceIds, words,
    )

    internal fun withOffsets(starts: IntArray, ends: IntArray) = Encoding(
        ids, typeIds, attentionMask, specialTokensMask, tokens, starts, ends, sequenceIds, words,
    )

    internal companion object {
        fun ofText(ids: IntArray, tokens: List<String>, starts: IntArray, ends: IntArray, sequence: Int, words: IntArray) = Encoding(
            ids, IntArray(ids.size) { sequence }, IntArray(ids.size) { 1 }, IntArray(ids.size), tokens, starts, ends,
            IntArray(ids.size) { sequence }, words,
        )

        fun ofSpecial(ids: IntArray, tokens: List<String>, type: Int, attention: Int = 1) = Encoding(
            ids, IntArray(ids.size) { type }, IntArray(ids.size) { attention }, IntArray(ids.size) { 1 }, tokens,
            IntArray(ids.size), IntArray(ids.size), IntArray(ids.size) { -1 }, IntArray(ids.size) { -1 },
        )

        fun join(parts: List<Encoding>): Encoding {
            if (parts.size == 1) return parts[0]
            return Encoding(
                column(parts) { it.ids }, column(parts) { it.typeIds },
                column(parts) { it.attentionMask }, column(parts) { it.specialTokensMask },
                parts.flatMap { it.tokens }, column(parts) { it.starts }, column(parts) { it.ends },
                column(parts) { it.sequenceIds }, column(parts) { it.words },
            )
        }

        private inline fun column(parts: List<Encoding>, of: (Encoding) -> IntArray): IntArray {
            val joined = IntArray(parts.sumOf { it.size })
            parts.fold(0) { at, part -> of(part).copyInto(joined, at); at + part.size }
            return joined
        }
    }
}

/** UTF-16 offsets into [text] as code points, which is what Python counts. */
fun codePointOffsets(text: String, utf16: IntArray): IntArray {
    if (text.none { it.isSurrogate() }) return utf16.copyOf()
    val points = IntArray(text.length + 1)
    var point = 0
    var at = 0
    while (at < text.length) {
        points[at] = point
        val isPair = text[at].isHighSurrogate() && at + 1 < text.length && text[at + 1].isLowSurrogate()
        if (isPair) points[at + 1] = point
        at += if (isPair) 2 else 1
        point++
    }
    points[text.length] = point
    return IntArray(utf16.size) { points[utf16[it].coerceIn(0, text.length)] }
}

/** Code point offsets into [text] as UTF-16 units. */
internal fun utf16Offsets(text: String, points: IntArray): IntArray {
    if (text.none { it.isSurrogate() }) return points
    val units = IntArray(text.length + 1)
    var point = 0
    var at = 0
    while (at < text.length) {
        units[point++] = at
        val isPair = text[at].isHighSurrogate() && at + 1 < text.length && text[at + 1].isLowSurrogate()
        at += if (isPair) 2 else 1
    }
    units[point] = at
    return IntArray(points.size) { units[points[it]] }
}
