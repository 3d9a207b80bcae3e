package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.unicode.Unicode

/** What is done to the tokens of a text, or of a pair: the "post_processor" of a tokenizer.json. */
internal interface PostProcessor {
    /** How many special tokens it puts around one text, or two. */
    fun addedTokens(isPair: Boolean): Int

    fun process(texts: List<Encoding>, addsSpecial: Boolean): List<Encoding>
}

internal class PostProcessorSequence(private val steps: List<PostProcessor>) : PostProcessor {
    override fun addedTokens(isPair: Boolean) = steps.sumOf { it.addedTokens(isPair) }

    override fun process(texts: List<Encoding>, addsSpecial: Boolean) =
        steps.fold(texts) { it, step -> step.process(it, addsSpecial) }
}

/** Special tokens and the texts in order: `[CLS] A [SEP] B [SEP]`. */
internal class Template(private val single: List<Part>, private val pair: List<Part>) : PostProcessor {
    sealed class Part(val type: Int)
    class Text(val number: Int, type: Int) : Part(type)
    class Special(val ids: IntArray, val tokens: List<String>, type: Int) : Part(type)

    private fun parts(isPair: Boolean) = if (isPair) pair else single

    override fun addedTokens(isPair: Boolean) = parts(isPair).sumOf { (it as? Special)?.ids?.size ?: 0 }

    override fun process(texts: List<Encoding>, addsSpecial: Boolean): List<Encoding> =
        parts(texts.size == 2).mapNotNull { part ->
            when (part) {
                is Text -> texts.getOrNull(part.number)?.withType(part.type)
                    ?: throw KzooException("The tokenizer's template for one text asks for a second one.")
                is Special -> if (addsSpecial) Encoding.ofSpecial(part.ids, part.tokens, part.type) else null
            }
        }.ifEmpty { listOf(Encoding.ofSpecial(IntArray(0), listOf(), 0)) }
}

/** RoBERTa's: every type is 0, special tokens or not. */
internal class RobertaProcessing(private val template: Template, private val trim: TrimOffsets?) : PostProcessor {
    override fun addedTokens(isPair: Boolean) = template.addedTokens(isPair)

    override fun process(texts: List<Encoding>, addsSpecial: Boolean): List<Encoding> {
        val trimmed = trim?.process(texts, addsSpecial) ?: texts
        return if (addsSpecial) template.process(trimmed, true) else trimmed.map { it.withType(0) }
    }
}

/** Takes white space off the ends of tokens, as byte-level tokenizers hold a word's space. */
internal class TrimOffsets(private val spaceWasAdded: Boolean) : PostProcessor {
    override fun addedTokens(isPair: Boolean) = 0

    override fun process(texts: List<Encoding>, addsSpecial: Boolean) = texts.map { text ->
        val trimmed = text.withOffsets(text.starts.copyOf(), text.ends.copyOf())
        for (i in 0 until text.size) trim(trimmed, i)
        trimmed
    }

    private fun trim(text: Encoding, i: Int) {
        val points = text.tokens[i].let { if (it.isEmpty() || !isSpace(it[0]) && !isSpace(it.last())) return else codePoints(it) }
        var leading = points.indexOfFirst { !isSpace(it) }.let { if (it < 0) points.size else it }
        val trailing = points.size - 1 - points.indexOfLast { !isSpace(it) }
        if (leading > 0) {
            val isFirst = i == 0 || text.starts[i] == 0
            if (isFirst && spaceWasAdded && leading == 1) leading = 0
            text.starts[i] = minOf(text.starts[i] + leading, text.ends[i])
        }
        if (trailing > 0 && text.ends[i] >= trailing) text.ends[i] = maxOf(text.ends[i] - trailing, text.starts[i])
    }

    private fun isSpace(char: Char) = isSpace(char.code)

    private fun isSpace(point: Int) = point == SPACE || Unicode.isSpace(point)

    private companion object {
        val SPACE = ByteLevel.characters[' '.code]
    }
}
