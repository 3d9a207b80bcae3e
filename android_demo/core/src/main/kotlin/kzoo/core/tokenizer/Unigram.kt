package kzoo.core.tokenizer

import kzoo.core.KzooException

private const val UNKNOWN_PENALTY = 10.0

/** The most probable pieces (Kudo 2018), by Viterbi over the pieces that start at each character. */
internal class Unigram(
    override val vocabulary: Vocabulary,
    private val scores: DoubleArray,
    private val unknownId: Int, // -1 if there is none.
    fallsBackToBytes: Boolean,
) : Model {
    private val byteIds = if (fallsBackToBytes) byteIds(vocabulary) else null
    private val unknownScore: Double

    init {
        var least = scores.firstOrNull() ?: 0.0
        for (score in scores) if (score < least) least = score
        unknownScore = least - UNKNOWN_PENALTY
    }

    override val size get() = scores.size

    override fun tokenize(piece: NormalizedText, out: Tokens) {
        val best = DoubleArray(piece.size + 1) // Of the paths that end before each character.
        val starts = IntArray(piece.size + 1) { -1 } // Where the last piece of that path starts.
        val ids = IntArray(piece.size + 1)
        for (at in 0 until piece.size) {
            var hasSingle = false
            vocabulary.forEachPrefix(piece.points, piece.from + at, piece.to, Vocabulary.NONE) { end, id ->
                val to = end - piece.from
                val score = scores[id] + best[at]
                if (starts[to] < 0 || score > best[to]) {
                    best[to] = score
                    starts[to] = at
                    ids[to] = id
                }
                hasSingle = hasSingle || to == at + 1
            }
            val score = unknownScore + best[at]
            if (!hasSingle && (starts[at + 1] < 0 || score > best[at + 1])) {
                if (unknownId < 0) failWithoutUnknown()
                best[at + 1] = score
                starts[at + 1] = at
                ids[at + 1] = unknownId
            }
        }
        addPath(piece, starts, ids, out)
    }

    /** Tokens from the end of the path backwards, unknown neighbours as one; then in order. */
    private fun addPath(piece: NormalizedText, starts: IntArray, ids: IntArray, out: Tokens) {
        val bounds = IntList()
        var end = piece.size
        bounds.add(end)
        while (end > 0) {
            var start = starts[end]
            if (ids[end] == unknownId) while (start > 0 && ids[start] == unknownId) start = starts[start]
            bounds.add(start)
            end = start
        }
        for (i in bounds.size - 1 downTo 1) {
            addToken(piece, piece.from + bounds[i], piece.from + bounds[i - 1], ids[bounds[i - 1]], out)
        }
    }

    private fun addToken(piece: NormalizedText, from: Int, to: Int, pathId: Int, out: Tokens) {
        if (pathId != unknownId) return out.add(pathId, piece, from, to)
        val id = vocabulary.id(piece.points, from, to) // Fused unknowns may spell a piece.
        when {
            id >= 0 -> out.add(id, piece, from, to)
            byteIds != null && addBytes(byteIds, piece, from, to, out) -> Unit
            unknownId < 0 -> failWithoutUnknown()
            else -> out.add(unknownId, piece, from, to, piece.slice(from, to).toString())
        }
    }

    private fun addBytes(byteIds: IntArray, piece: NormalizedText, from: Int, to: Int, out: Tokens): Boolean {
        val ids = IntList()
        for (i in from until to) {
            val length = utf8Length(piece.points[i])
            for (n in 0 until length) {
                val id = byteIds[utf8Byte(piece.points[i], length, n)]
                if (id < 0) return false
                ids.add(id)
            }
        }
        for (i in 0 until ids.size) out.add(ids[i], piece, from, to)
        return true
    }

    private fun failWithoutUnknown(): Nothing =
        throw KzooException("The text has a character that the vocabulary lacks, and the tokenizer has no unknown token.")
}

/** The ids of `<0x00>` to `<0xFF>`, -1 for those that are missing. */
internal fun byteIds(vocabulary: Vocabulary) = IntArray(256) {
    vocabulary.id("<0x" + "0123456789ABCDEF"[it shr 4] + "0123456789ABCDEF"[it and 15] + ">")
}
