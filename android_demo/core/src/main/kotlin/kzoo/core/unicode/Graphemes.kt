package kzoo.core.unicode

/** Grapheme clusters (UAX 29), as far as SentencePiece's character map can tell them apart. */
internal object Graphemes {
    private const val CONTROL = 1
    private const val PREPEND = 2
    private const val EXTEND = 3
    private const val SPACING_MARK = 4
    private const val JOINER = 5
    private const val L = 6
    private const val V = 7
    private const val T = 8
    private const val LV = 9
    private const val LVT = 10
    private const val CONSONANT = 11
    private const val PICTOGRAPH = 12

    /** Where the cluster that starts at [from] ends. */
    fun end(points: IntArray, from: Int, to: Int): Int {
        if (points[from] == '\r'.code && from + 1 < to && points[from + 1] == '\n'.code) return from + 2
        var before = Unicode.graphemeClass(points[from])
        var pictograph = before == PICTOGRAPH // A pictograph, then only what extends it.
        var conjunct = before == CONSONANT // A consonant, then only what may stand in a conjunct,
        var linked = false // a linker among it.
        var joined = false // The pictograph has just got a joiner.
        var at = from + 1
        while (at < to) {
            val after = Unicode.graphemeClass(points[at])
            val together = when {
                before == CONTROL || after == CONTROL -> false
                before == L && (after == L || after == V || after == LV || after == LVT) -> true
                (before == LV || before == V) && (after == V || after == T) -> true
                (before == LVT || before == T) && after == T -> true
                after == EXTEND || after == JOINER || after == SPACING_MARK || before == PREPEND -> true
                after == CONSONANT -> conjunct && linked
                after == PICTOGRAPH -> joined
                else -> false
            }
            if (!together) return at
            joined = pictograph && after == JOINER
            pictograph = after == PICTOGRAPH || pictograph && after == EXTEND
            if (after == CONSONANT) {
                conjunct = true
                linked = false
            } else if (Unicode.isLinker(points[at])) {
                linked = true
            } else if (!Unicode.isInConjunct(points[at])) {
                conjunct = false
            }
            before = after
            at++
        }
        return at
    }
}
