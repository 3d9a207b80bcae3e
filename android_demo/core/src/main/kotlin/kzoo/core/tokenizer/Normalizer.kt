package kzoo.core.tokenizer

import kzoo.core.unicode.Form
import kzoo.core.unicode.Normalization
import kzoo.core.unicode.Unicode

/** Changes a text before it is split: the "normalizer" of a tokenizer.json. */
internal fun interface Normalizer {
    fun normalize(text: NormalizedText): NormalizedText
}

internal class NormalizerSequence(private val steps: List<Normalizer>) : Normalizer {
    override fun normalize(text: NormalizedText) = steps.fold(text) { it, step -> step.normalize(it) }
}

/** What BERT's original tokenizer did before splitting. */
internal class BertNormalizer(
    private val cleans: Boolean,
    private val partsChinese: Boolean,
    private val stripsAccents: Boolean,
    private val lowers: Boolean,
) : Normalizer {
    override fun normalize(text: NormalizedText): NormalizedText {
        var result = text
        if (cleans && text.any { it < 0x20 || it >= 0x7F }) {
            result = text.filter { !Unicode.isControl(it) }.map { if (Unicode.isSpace(it)) ' '.code else it }
        }
        if (partsChinese && result.any(::isChinese)) result = partChinese(result)
        if (stripsAccents && !Normalization.isUnchanged(result.points, result.from, result.to, Form.NFD)) {
            result = normalized(result, Form.NFD).filter { !Unicode.isNonspacing(it) }
        }
        return if (lowers) lowercase(result) else result
    }

    private fun partChinese(text: NormalizedText): NormalizedText {
        val out = TextBuffer(text.size * 3)
        for (i in text.from until text.to) {
            val chinese = isChinese(text.points[i])
            if (chinese) out.add(' '.code, text.sources[i])
            out.add(text.points[i], text.sources[i])
            if (chinese) out.add(' '.code, text.sources[i])
        }
        return out.text()
    }

    private fun isChinese(point: Int) = point >= 0x3400 && when (point) {
        in 0x4E00..0x9FFF, in 0x3400..0x4DBF, in 0x20000..0x2A6DF, in 0x2A700..0x2B73F,
        in 0x2B740..0x2B81F, in 0xF900..0xFAFF, in 0x2F800..0x2FA1F -> true
        in 0x2B920..0x2CEAF -> true // The library's range; the block starts at 0x2B820.
        else -> false
    }
}

internal fun normalized(text: NormalizedText, form: Form): NormalizedText {
    if (Normalization.isUnchanged(text.points, text.from, text.to, form)) return text
    val out = Rewriter(text)
    Normalization.normalize(text.points, text.from, text.to, form, out)
    return out.text()
}

internal fun lowercase(text: NormalizedText): NormalizedText {
    val out = TextBuffer(text.size)
    val pool = Unicode.lowercase.pool
    for (i in text.from until text.to) {
        val point = text.points[i]
        val place = Unicode.lowercase.place(point)
        if (place == 0) out.add(point, text.sources[i])
        else for (n in 1..pool[place]) out.add(pool[place + n], text.sources[i])
    }
    return out.text()
}

internal class Strip(private val left: Boolean, private val right: Boolean) : Normalizer {
    override fun normalize(text: NormalizedText): NormalizedText {
        var from = text.from
        var to = text.to
        if (left) while (from < to && Unicode.isSpace(text.points[from])) from++
        if (right) while (from < to && Unicode.isSpace(text.points[to - 1])) to--
        return text.slice(from, to)
    }
}

/** The replacement lies where the last character of the match did. */
internal class Replace(private val pattern: Pattern, private val content: IntArray) : Normalizer {
    override fun normalize(text: NormalizedText): NormalizedText {
        val out = TextBuffer(text.size)
        pattern.forEachPart(text) { from, to, isMatch ->
            if (isMatch) for (point in content) out.add(point, text.sources[to - 1])
            else for (i in from until to) out.add(text.points[i], text.sources[i])
        }
        return out.text()
    }
}

internal class Prepend(private val content: IntArray) : Normalizer {
    override fun normalize(text: NormalizedText) = prepend(text, content)
}

internal fun prepend(text: NormalizedText, content: IntArray): NormalizedText {
    if (text.size == 0) return text
    val out = TextBuffer(text.size + content.size)
    for (point in content) out.add(point, text.sources[text.from])
    for (i in text.from until text.to) out.add(text.points[i], text.sources[i])
    return out.text()
}

/** SentencePiece's own cleaning, where a file names it instead of a character map. */
internal object Nmt : Normalizer {
    override fun normalize(text: NormalizedText) = text.filter {
        it !in 1..8 && it != 0xB && it !in 0xE..0x1F && it != 0x7F && it != 0x8F && it != 0x9F
    }.map {
        when (it) {
            0x9, 0xA, 0xC, 0xD, 0x1680, in 0x200B..0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD -> ' '.code
            else -> it
        }
    }
}
