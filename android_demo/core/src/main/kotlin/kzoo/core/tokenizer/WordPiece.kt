package kzoo.core.tokenizer

import kzoo.core.KzooException

/** Greedy matching, the longest piece first (Schuster and Nakajima 2012; Devlin et al. 2018). */
internal class WordPiece(
    override val vocabulary: Vocabulary,
    private val unknown: String,
    continuingPrefix: String,
    private val longestWord: Int,
) : Model {
    private val continuing = Vocabulary.Prefix(codePoints(continuingPrefix))
    private val unknownId = vocabulary.id(unknown)

    override fun tokenize(piece: NormalizedText, out: Tokens) {
        if (piece.size > longestWord) return addUnknown(piece, out)
        val ids = IntList(8)
        val ends = IntList(8)
        var at = piece.from
        while (at < piece.to) {
            var longest = at
            var longestId = -1
            val prefix = if (at == piece.from) Vocabulary.NONE else continuing
            vocabulary.forEachPrefix(piece.points, at, piece.to, prefix) { end, id ->
                longest = end
                longestId = id
            }
            if (longestId < 0) return addUnknown(piece, out)
            ids.add(longestId)
            ends.add(longest)
            at = longest
        }
        for (i in 0 until ids.size) out.add(ids[i], piece, if (i == 0) piece.from else ends[i - 1], ends[i])
    }

    private fun addUnknown(piece: NormalizedText, out: Tokens) {
        if (unknownId < 0) throw KzooException("The vocabulary lacks its unknown token ${shown(unknown)}, which this text needs.")
        out.add(unknownId, piece, piece.from, piece.to)
    }
}
