package kzoo.core.tokenizer

import kzoo.core.KzooException

/**
 * Byte-pair encoding (Sennrich et al. 2016): the pair that was learned first is merged first, the
 * leftmost of equals. Pairs wait in a heap, so that a word of n characters costs n log n.
 */
internal class Bpe(
    override val vocabulary: Vocabulary,
    private val merges: Merges,
    private val unknown: String?,
    continuingPrefix: String,
    endOfWord: String,
    private val fusesUnknown: Boolean,
    fallsBackToBytes: Boolean,
    private val ignoresMerges: Boolean,
) : Model {
    private val unknownId = if (unknown == null) -1 else vocabulary.id(unknown)
    private val suffix = codePoints(endOfWord)
    private val prefix = codePoints(continuingPrefix)
    private val byteIds = if (fallsBackToBytes) byteIds(vocabulary) else null

    override fun tokenize(piece: NormalizedText, out: Tokens) {
        if (ignoresMerges) {
            val id = vocabulary.id(piece.points, piece.from, piece.to)
            if (id >= 0) return out.add(id, piece, piece.from, piece.to)
        }
        val word = Word(piece.size + 1)
        addSymbols(piece, word)
        if (word.size > 1) merge(word)
        addTokens(piece, word, out)
    }

    private fun addSymbols(piece: NormalizedText, word: Word) {
        var unknownLength = 0 // Of the unknown symbol that may still grow.
        for (i in piece.from until piece.to) {
            val length = utf8Length(piece.points[i])
            val id = symbol(piece, i)
            val isKnown = id >= 0
            if (unknownLength > 0 && (isKnown || !fusesUnknown && unknown != null && !hasBytes(piece.points[i]))) {
                word.add(unknownId, unknownLength)
                unknownLength = 0
            }
            when {
                isKnown -> word.add(id, length)
                hasBytes(piece.points[i]) ->
                    for (n in 0 until length) word.add(byteIds!![utf8Byte(piece.points[i], length, n)], 1)
                unknown != null -> {
                    if (unknownId < 0) {
                        throw KzooException("The vocabulary lacks its unknown token ${shown(unknown)}, which this text needs.")
                    }
                    unknownLength += length
                }
            }
        }
        if (unknownLength > 0) word.add(unknownId, unknownLength)
    }

    private fun hasBytes(point: Int): Boolean {
        if (byteIds == null) return false
        val length = utf8Length(point)
        return (0 until length).all { byteIds[utf8Byte(point, length, it)] >= 0 }
    }

    private fun symbol(piece: NormalizedText, at: Int): Int {
        val before = if (at > piece.from) prefix else NO_POINTS
        val after = if (at == piece.to - 1) suffix else NO_POINTS
        if (before.isEmpty() && after.isEmpty()) return vocabulary.id(piece.points, at, at + 1)
        return vocabulary.id(before + piece.points[at] + after)
    }

    /** A word's symbols as a linked list, and the pairs that may be merged as a heap. */
    private class Word(capacity: Int) {
        var ids = IntArray(capacity)
        var lengths = IntArray(capacity) // In bytes; 0 for a symbol that was merged into another.
        var size = 0

        fun add(id: Int, length: Int) {
            if (size == ids.size) {
                ids = ids.copyOf(size * 2)
                lengths = lengths.copyOf(size * 2)
            }
            ids[size] = id
            lengths[size++] = length
        }
    }

    private fun merge(word: Word) {
        val ids = word.ids
        val next = IntArray(word.size) { it + 1 }
        val previous = IntArray(word.size) { it - 1 }
        val heap = LongHeap(word.size)
        for (i in 0 until word.size - 1) push(heap, ids, i, i + 1)
        while (heap.size > 0) {
            val top = heap.pop()
            val left = top.toInt()
            val right = if (word.lengths[left] == 0) word.size else next[left]
            if (right >= word.size) continue
            val merge = merges.find(ids[left], ids[right])
            if (merge < 0 || merge != (top ushr 32).toInt()) continue // Changed since it was pushed.
            ids[left] = merges.result(merge)
            word.lengths[left] += word.lengths[right]
            word.lengths[right] = 0
            next[left] = next[right]
            if (next[left] < word.size) {
                previous[next[left]] = left
                push(heap, ids, left, next[left])
            }
            if (previous[left] >= 0) push(heap, ids, previous[left], left)
        }
    }

    private fun push(heap: LongHeap, ids: IntArray, left: Int, right: Int) {
        val merge = merges.find(ids[left], ids[right])
        if (merge >= 0) heap.push(merge.toLong() shl 32 or left.toLong())
    }

    /** A symbol's bytes tell which characters it covers: a byte covers the whole of its own. */
    private fun addTokens(piece: NormalizedText, word: Word, out: Tokens) {
        var at = piece.from
        var atEnd = utf8Length(piece.points[at]) // Where in bytes the character ends.
        var byte = 0
        for (i in 0 until word.size) {
            if (word.lengths[i] == 0) continue
            while (atEnd <= byte) atEnd += utf8Length(piece.points[++at])
            val first = at
            byte += word.lengths[i]
            while (atEnd < byte) atEnd += utf8Length(piece.points[++at])
            out.add(word.ids[i], piece, first, at + 1)
        }
    }

    private companion object {
        val NO_POINTS = IntArray(0)
    }
}

/** Which pairs of tokens merge, in what order, and to what. */
internal class Merges(expected: Int) {
    private val keys = LongArray(Integer.highestOneBit(maxOf(expected, 8)) * 4) // 0 where a slot is free.
    private val values = IntArray(keys.size)
    private val results = IntList(maxOf(expected, 8))
    private val shift = keys.size.countLeadingZeroBits() + 33

    fun add(left: Int, right: Int, result: Int) {
        val slot = slot(left, right)
        keys[slot] = key(left, right)
        values[slot] = results.size
        results.add(result)
    }

    /** The number of the pair's merge, which is its rank; or -1. */
    fun find(left: Int, right: Int): Int = slot(left, right).let { if (keys[it] == 0L) -1 else values[it] }

    fun result(merge: Int) = results[merge]

    private fun slot(left: Int, right: Int): Int {
        val key = key(left, right)
        var slot = (key * -0x61c8864680b583ebL ushr shift).toInt()
        while (keys[slot] != key && keys[slot] != 0L) slot = slot + 1 and keys.size - 1
        return slot
    }

    private fun key(left: Int, right: Int) = (left.toLong() shl 32 or right.toLong()) + 1
}

/** A heap with the least number on top. */
internal class LongHeap(capacity: Int) {
    private var values = LongArray(capacity + 1)
    var size = 0
        private set

    fun push(value: Long) {
        if (size == values.size) values = values.copyOf(size * 2)
        var at = size++
        while (at > 0) {
            val parent = at - 1 shr 1
            if (values[parent] <= value) break
            values[at] = values[parent]
            at = parent
        }
        values[at] = value
    }

    fun pop(): Long {
        val top = values[0]
        val value = values[--size]
        var at = 0
        while (true) {
            var child = 2 * at + 1
            if (child >= size) break
            if (child + 1 < size && values[child + 1] < values[child]) child++
            if (values[child] >= value) break
            values[at] = values[child]
            at = child
        }
        values[at] = value
        return top
    }
}
