package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.unicode.Unicode

/** A token that is found in the text before the model sees it, such as `[MASK]`. */
internal class AddedToken(
    val content: String,
    val isSpecial: Boolean,
    val isNormalized: Boolean,
    val isSingleWord: Boolean,
    val stripsLeft: Boolean,
    val stripsRight: Boolean,
)

/** The added tokens of a tokenizer, by id; and the text cut where they stand. */
internal class AddedTokens(tokens: List<AddedToken>, private val model: Model, private val normalizer: Normalizer?) {
    private val byId = HashMap<Int, AddedToken>()
    private val ids = HashMap<String, Int>()
    private val normalizedContents = HashMap<Int, String>()
    private val special = HashSet<String>()
    private val verbatim: Finder
    private val normalized: Finder

    init {
        var next = model.size
        for (token in tokens) {
            if (token.content.isEmpty()) continue
            val id = id(token.content) ?: next++
            ids[token.content] = id
            byId[id] = token
            if (token.isSpecial) special += token.content
            if (token.isNormalized && normalizer != null) {
                val content = normalizer.normalize(NormalizedText.of(token.content)).toString()
                if (content.isEmpty()) {
                    throw KzooException(
                        "The normalizer leaves nothing of the added token \"${token.content}\", which would then be found " +
                            "everywhere: mark it as not normalized.",
                    )
                }
                normalizedContents[id] = content
            }
        }
        verbatim = Finder(byId.filterValues { !it.isNormalized }.mapValues { it.value.content })
        normalized = Finder(byId.filterValues { it.isNormalized }.mapValues { normalizedContents[it.key] ?: it.value.content })
    }

    fun id(token: String): Int? = ids[token] ?: model.vocabulary.id(token).takeIf { it >= 0 }

    fun string(id: Int): String? = byId[id]?.let { normalizedContents[id] ?: it.content }

    fun isSpecial(token: String) = token in special

    /** Calls [found] for each added token, and [between], normalized, for the text between them. */
    fun split(text: NormalizedText, found: (Int, NormalizedText) -> Unit, between: (NormalizedText) -> Unit) {
        verbatim.split(text, found) { part ->
            normalized.split(normalizer?.normalize(part) ?: part, found, between)
        }
    }

    /** Finds the leftmost token, of those the longest, then goes on behind it. */
    private inner class Finder(contents: Map<Int, String>) {
        private val vocabulary: Vocabulary?
        private val firsts = BooleanArray(FIRSTS)

        init {
            val builder = Vocabulary.Builder(contents.size + 1)
            for ((id, content) in contents) {
                builder.add(content.toCharArray(), content.length, id)
                firsts[codePoints(content)[0] and FIRSTS - 1] = true
            }
            vocabulary = if (builder.count == 0) null else builder.build()
        }

        fun split(text: NormalizedText, found: (Int, NormalizedText) -> Unit, between: (NormalizedText) -> Unit) {
            if (vocabulary == null) {
                if (text.size > 0) between(text)
                return
            }
            var last = text.from // Where the part that isn't taken yet begins.
            var at = text.from
            while (at < text.to) {
                var end = at
                var id = -1
                if (firsts[text.points[at] and FIRSTS - 1]) {
                    vocabulary.forEachPrefix(text.points, at, text.to, Vocabulary.NONE) { to, token ->
                        end = to
                        id = token
                    }
                }
                if (id < 0) {
                    at++
                    continue
                }
                val token = byId.getValue(id)
                var from = at
                var to = end
                at = end
                if (token.isSingleWord && touchesWord(text, from, to)) continue
                if (token.stripsLeft) {
                    while (from > last && Unicode.isSpace(text.points[from - 1])) from--
                    from = maxOf(from, last) // The token before may have taken this one's own white space.
                }
                if (token.stripsRight) while (to < text.to && Unicode.isSpace(text.points[to])) to++
                if (last < from) between(text.slice(last, from))
                if (from < to) found(id, text.slice(from, to))
                last = maxOf(from, to)
            }
            if (last < text.to) between(text.slice(last, text.to))
        }

        private fun touchesWord(text: NormalizedText, from: Int, to: Int) =
            from > text.from && Unicode.isWord(text.points[from - 1]) || to < text.to && Unicode.isWord(text.points[to])
    }

    private companion object {
        const val FIRSTS = 256
    }
}
