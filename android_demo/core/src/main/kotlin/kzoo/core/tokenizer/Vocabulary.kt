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
    private val hashes: IntArray,
) {
    private val shift = (ids.size * 2).coerceAtLeast(16).countLeadingZeroBits()
    private val slots = IntArray(1 shl 32 - shift)
    private val bitShift = (shift - 4).coerceAtLeast(4)
    private val bits = LongArray(1 shl 32 - bitShift - 6)
    private val pieceOfId: IntArray
    private val strings = arrayOfNulls<String>(ids.size)

    /** How many different pieces there are. */
    val size: Int

    init {
        val top = ids.maxOrNull() ?: -1
        if (top > 1 shl 24) throw KzooException("The vocabulary has an id of $top: at most ${1 shl 24} was expected.")
        pieceOfId = IntArray(top + 1) { -1 }
        var different = 0
        for (piece in ids.indices) {
            if (pieceOfId[ids[piece]] < 0) pieceOfId[ids[piece]] = piece
            var slot = hashes[piece] ushr shift
            while (slots[slot] != 0 && !isSame(slots[slot] - 1, piece)) slot = slot + 1 and slots.size - 1
            if (slots[slot] == 0) different++
            slots[slot] = piece + 1 // Of two that are alike the later one counts.
            markBeginnings(piece)
        }
        size = different
    }

    private fun isSame(one: Int, other: Int): Boolean {
        if (hashes[one] != hashes[other]) return false
        val start = start(one)
        val length = ends[one] - start
        if (ends[other] - start(other) != length) return false
        for (i in 0 until length) if (chars[start + i] != chars[start(other) + i]) return false
        return true
    }

    private fun markBeginnings(piece: Int) {
        var hash = 0
        forEachPoint(chars, start(piece), ends[piece]) {
            hash = step(hash, it)
            val bit = hash ushr bitShift
            bits[bit shr 6] = bits[bit shr 6] or (1L shl bit)
        }
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

    fun mayContinue(hash: Int): Boolean {
        val bit = hash ushr bitShift
        return bits[bit shr 6] shr bit and 1L != 0L
    }

    fun find(hash: Int, points: IntArray, from: Int, to: Int, prefix: IntArray): Int {
        var slot = hash ushr shift
        while (true) {
            val piece = slots[slot] - 1
            if (piece < 0) return -1
            if (hashes[piece] == hash && isAt(piece, points, from, to, prefix)) return ids[piece]
            slot = slot + 1 and slots.size - 1
        }
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
        private var chars = CharArray(expected * 8)
        private var length = 0
        private val ends = IntList(expected)
        private val ids = IntList(expected)
        private val hashes = IntList(expected)
        val count get() = ids.size

        fun add(source: CharArray, size: Int, id: Int) {
            if (length + size > chars.size) chars = chars.copyOf(maxOf(chars.size * 2, length + size))
            source.copyInto(chars, length, 0, size)
            var hash = 0
            forEachPoint(source, 0, size) { hash = step(hash, it) }
            length += size
            ends.add(length)
            ids.add(id)
            hashes.add(hash)
        }

        fun build() = Vocabulary(chars.copyOf(length), ends.toArray(), ids.toArray(), hashes.toArray())
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
