package kzoo.core.tokenizer

/** Strings by number in one array of characters: 250,000 objects would take longer than the file. */
internal class Pieces(expected: Int) {
    var chars = CharArray(expected * 8)
        private set
    val ends = IntList(expected)
    val count get() = ends.size
    var length = 0 // Of all of them.
        private set

    fun add(source: CharArray, from: Int, to: Int) {
        val start = length
        length += to - from
        if (length > chars.size) chars = chars.copyOf(maxOf(chars.size * 2, length))
        System.arraycopy(source, from, chars, start, to - from)
        ends.add(length)
    }

    fun start(piece: Int) = if (piece == 0) 0 else ends[piece - 1]

    fun end(piece: Int) = ends[piece]

    fun string(piece: Int) = String(chars, start(piece), end(piece) - start(piece))
}
