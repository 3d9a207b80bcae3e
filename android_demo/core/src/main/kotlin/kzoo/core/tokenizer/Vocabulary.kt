package kzoo.core.tokenizer

import kzoo.core.KzooException

/**
 * A model's pieces by their code points, and by id.
 *
 * An open hash table of the pieces, and a table of bits that knows the hashes of all their
 * beginnings: where the next bit isn't set, no longer piece can follow. That does a trie's work, and
 * 250,000 pieces are ready in a fraction of the time that a trie takes.
 */
internal class Vocabulary private constructor(
    private val chars: CharArray,
    private val ends: IntArray, // Of each piece in chars.
    private val ids: IntArray,
) {
    private val hashes = IntArray(ids.size)
    private val shift = maxOf(ids.size * 2, 16).countLeadingZeroBits()
    private val slots = IntArray(1 shl 32 - shift)
    private val bitShift = maxOf(shift - 4, 4)
    private val bits = LongArray(1 shl 32 - bitShift - 6)
    private val pieceOfId: IntArray
    private val strings = arrayOfNulls<String>(ids.size)

    /** How many different pieces there are. */
    val size: Int

    init {
        var top = -1
        for (id in ids) if (id > top) top = id
        if (top > 1 shl 24) throw KzooException("The vocabulary has an id of $top: at most ${1 shl 24} was expected.")
        pieceOfId = IntArray(top + 1) { -1 }
        var different = 0
        for (piece in ids.indices) {
            if (pieceOfId[ids[piece]] < 0) pieceOfId[ids[piece]] = piece
            hashes[piece] = markBeginnings(piece)
            var slot = hashes[piece] ushr shift
            while (slots[slot] != 0 && !isSame(slots[slot] - 1, piece)) slot = slot + 1 and slots.size - 1
            if (slots[slot] == 0) different++
            slots[slot] = piece + 1 // Of two that are alike the later one counts.
        }
        size = different
    }

    private fun isSame(one: Int, other: Int) = hashes[one] == hashes[other] && isAt(one, chars, start(other), ends[other])

    /** The hash of the whole piece, once those of its beginnings are known. */
    private fun markBeginnings(piece: Int): Int {
        var hash = 0
        forEachPoint(chars, start(piece), ends[piece]) {
            hash = step(hash, it)
            val bit = hash ushr bitShift
            bits[bit shr 6] = bits[bit shr 6] or (1L shl bit)
        }
        return hash
    }

    private fun start(piece: Int) = if (piece == 0) 0 else ends[piece - 1]

    /** Something that stands before each piece that is searched, such as WordPiece's ##. */
    class Prefix(val points: IntArray) {
        val hash = points.fold(0, ::step)
    }

    /** Calls [found] for each piece that the code points start with, the shortest first. */
    inline fun forEachPrefix(points: IntArray, from: Int, to: Int, prefix: Prefix, found: (end: Int, id: Int) -> Unit) {
        var hash = prefix.hash
        for (at in from until to) {
            hash = step(hash, points[at])
            if (!mayContinue(hash)) return
            val id = find(hash, points, from, at + 1, prefix.points)
            if (id >= 0) found(at + 1, id)
        }
    }

    /** The id of exactly these code points, or -1. */
    fun id(points: IntArray, from: Int = 0, to: Int = points.size): Int {
        var hash = 0
        for (i in from until to) hash = step(hash, points[i])
        return find(hash, points, from, to, NONE.points)
    }

    fun id(piece: String): Int = id(codePoints(piece))

    /** The id of exactly these characters, or -1. */
    fun id(chars: CharArray, from: Int, to: Int): Int {
        var hash = 0
        forEachPoint(chars, from, to) { hash = step(hash, it) }
        return find(hash) { isAt(it, chars, from, to) }
    }

    fun mayContinue(hash: Int): Boolean {
        val bit = hash ushr bitShift
        return bits[bit shr 6] shr bit and 1L != 0L
    }

    fun find(hash: Int, points: IntArray, from: Int, to: Int, prefix: IntArray): Int =
        find(hash) { isAt(it, points, from, to, prefix) }

    private inline fun find(hash: Int, isIt: (piece: Int) -> Boolean): Int {
        var slot = hash ushr shift
        while (true) {
            val piece = slots[slot] - 1
            if (piece < 0) return -1
            if (hashes[piece] == hash && isIt(piece)) return ids[piece]
            slot = slot + 1 and slots.size - 1
        }
    }

    private fun isAt(piece: Int, chars: CharArray, from: Int, to: Int): Boolean {
        val start = start(piece)
        if (ends[piece] - start != to - from) return false
        for (i in from until to) if (this.chars[start + i - from] != chars[i]) return false
        return true
    }

    private fun isAt(piece: Int, points: IntArray, from: Int, to: Int, prefix: IntArray): Boolean {
        var i = -prefix.size
        val length = to - from
        forEachPoint(chars, start(piece), ends[piece]) {
            if (i >= length || it != (if (i < 0) prefix[prefix.size + i] else points[from + i])) return false
            i++
        }
        return i == length
    }

    /** The piece with an id, or null. */
    fun piece(id: Int): String? {
        val piece = if (id in pieceOfId.indices) pieceOfId[id] else -1
        if (piece < 0) return null
        return strings[piece] ?: String(chars, start(piece), ends[piece] - start(piece)).also { strings[piece] = it }
    }

    class Builder(expected: Int = 1024) {
        private val pieces = Pieces(expected)
        private val ids = IntList(expected)
        val count get() = ids.size

        fun add(source: CharArray, size: Int, id: Int) {
            pieces.add(source, 0, size)
            ids.add(id)
        }

        fun build() = Vocabulary(pieces.chars.copyOf(pieces.length), pieces.ends.toArray(), ids.toArray())
    }

    companion object {
        val NONE = Prefix(IntArray(0))

        fun step(hash: Int, point: Int): Int = ((hash shl 5 or (hash ushr 27)) xor point) * -0x61c88647

        inline fun forEachPoint(chars: CharArray, from: Int, to: Int, use: (Int) -> Unit) {
            var i = from
            while (i < to) {
                val char = chars[i++]
                if (char in '\uD800'..'\uDBFF' && i < to && chars[i] in '\uDC00'..'\uDFFF') {
                    use(0x10000 + (char.code - 0xD800 shl 10) + (chars[i++].code - 0xDC00))
                } else {
                    use(char.code)
                }
            }
        }
    }
}
