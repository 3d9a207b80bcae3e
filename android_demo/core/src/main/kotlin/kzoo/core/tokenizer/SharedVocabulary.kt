package kzoo.core.tokenizer

/** What stands before a piece that only the other model has: no character, for good. */
private const val MARK = "\uFDD0"
private const val UNKNOWN = "<unk>"

/**
 * Two models that share a vocabulary, as Marian's: ids behind it ([others]) mean the [unknown] token,
 * and an unknown stretch of a text that is a piece of the other model has that piece's id.
 */
internal class SharedVocabulary(private val unknown: Int, private val others: Set<Int>) {
    fun ids(ids: IntArray, tokens: List<String>, vocabulary: Vocabulary) = IntArray(ids.size) {
        val id = if (ids[it] in others) unknown else ids[it]
        val marked = if (id == unknown) vocabulary.id(MARK + tokens[it]) else -1
        if (marked >= 0) marked else id
    }

    companion object {
        /** That of a "post_processor" which has several ids for an unknown token that it puts nowhere. */
        fun of(fields: Fields): SharedVocabulary? {
            if (fields.value("type") != "TemplateProcessing") return null
            val special = fields.map("special_tokens")
            val parts = fields.maps("single") + fields.maps("pair")
            val isUsed = parts.any { it.has("SpecialToken") && it.map("SpecialToken").string("id") == UNKNOWN }
            if (isUsed || !special.has(UNKNOWN)) return null
            val token = special.map(UNKNOWN)
            val ids = token.list("ids").map { (it as? Long)?.toInt() ?: token.wrong("ids") }
            return SharedVocabulary(ids.firstOrNull() ?: token.wrong("ids"), ids.drop(1).toSet())
        }

        fun unmarked(piece: String) = piece.removePrefix(MARK)
    }
}
