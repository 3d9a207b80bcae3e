package kzoo.core.tokenizer

import kzoo.core.KzooException
import kzoo.core.unicode.Graphemes
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * SentencePiece's "precompiled_charsmap": a double-array trie over UTF-8 bytes (Darts), and the
 * replacements that its leaves point to, each ended by a zero.
 *
 * A grapheme cluster of at most five bytes is replaced by what its shortest known beginning maps
 * to, whole; the characters of a longer one each by theirs. So a mark behind a replaced character
 * is lost. That is what the library does, and what its models were used with.
 */
internal class CharacterMap(bytes: ByteArray) : Normalizer {
    private val units: IntArray
    private val replacements: ByteArray
    private val ascii = IntArray(128) { NOT_YET }

    init {
        val words = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer()
        val size = if (bytes.size < 8) -1 else words.get()
        if (size !in 4..bytes.size - 4) damaged()
        units = IntArray(size / 4).also { words.get(it) }
        val pool = bytes.copyOfRange(4 + size / 4 * 4, bytes.size)
        replacements = pool.copyOf(pool.size + 4) // So that the last one ends, come what may.
    }

    override fun normalize(text: NormalizedText): NormalizedText {
        val points = text.points
        val out = Output(text)
        var at = text.from
        while (at < text.to) {
            val isAlone = points[at] < 0x80 && points[at] != '\r'.code &&
                (at + 1 == text.to || points[at + 1] < 0x80)
            val end = if (isAlone) at + 1 else Graphemes.end(points, at, text.to)
            val whole = when {
                isAlone -> findAscii(points[at])
                utf8Length(points, at, end) < 6 -> find(points, at, end)
                else -> -1
            }
            if (whole >= 0) out.replace(end - at, whole)
            else for (i in at until end) {
                val own = if (isAlone) -1 else find(points, i, i + 1)
                if (own >= 0) out.replace(1, own) else out.add(points[i], 0)
            }
            at = end
        }
        return out.text()
    }

    private fun findAscii(point: Int): Int {
        if (ascii[point] == NOT_YET) ascii[point] = find(intArrayOf(point), 0, 1)
        return ascii[point]
    }

    /** Where the replacement of the shortest known beginning of the code points stands, or -1. */
    private fun find(points: IntArray, from: Int, to: Int): Int {
        var node = offset(units[0])
        for (i in from until to) {
            val point = points[i]
            val length = utf8Length(point)
            for (n in 0 until length) {
                val byte = utf8Byte(point, length, n)
                if (byte == 0) return -1
                node = node xor byte
                if (node !in units.indices) damaged()
                val unit = units[node]
                if (unit and LABEL != byte) return -1
                node = node xor offset(unit)
                if (unit and HAS_LEAF != 0) {
                    if (node !in units.indices) damaged()
                    val found = units[node] and Int.MAX_VALUE
                    if (found > replacements.size) damaged()
                    return found
                }
            }
        }
        return -1
    }

    private fun offset(unit: Int) = (unit ushr 10) shl (unit and (1 shl 9) shr 6)

    /** The text so far, with the changes that tell where it came from. */
    private inner class Output(private val source: NormalizedText) {
        private val out = TextBuffer(source.size)
        private var isChanged = false

        fun add(point: Int, change: Int) = out.add(point, change)

        fun replace(oldCount: Int, at: Int) {
            isChanged = true
            val start = out.size
            var place = at
            while (place < replacements.size && replacements[place] != 0.toByte()) {
                val point = utf8Point(replacements, place)
                out.add(point, 0)
                place += utf8Length(point)
            }
            val more = out.size - start - oldCount
            // Nothing is left to carry the removed ones but what stands before, if anything does.
            if (more < 0 && out.size > 0) out.sources[out.size - 1] += more
            for (i in out.size - more until out.size) out.sources[i] = 1
        }

        fun text(): NormalizedText {
            if (!isChanged) return source
            val rewriter = Rewriter(source)
            for (i in 0 until out.size) rewriter.put(out.points[i], out.sources[i])
            return rewriter.text()
        }
    }

    private fun damaged(): Nothing =
        throw KzooException("The tokenizer's precompiled_charsmap is damaged: get the file again.")

    private companion object {
        const val NOT_YET = -2
        const val HAS_LEAF = 1 shl 8
        const val LABEL = Int.MIN_VALUE or 0xFF
    }
}

internal fun utf8Length(point: Int) = if (point < 0x80) 1 else if (point < 0x800) 2 else if (point < 0x10000) 3 else 4

internal fun utf8Length(points: IntArray, from: Int, to: Int): Int {
    var length = 0
    for (i in from until to) length += utf8Length(points[i])
    return length
}

/** Byte [number] of a code point that takes [length] of them. */
internal fun utf8Byte(point: Int, length: Int, number: Int): Int {
    val bits = point shr 6 * (length - 1 - number)
    return if (number > 0) 0x80 or (bits and 0x3F) else when (length) {
        1 -> point
        2 -> 0xC0 or bits
        3 -> 0xE0 or bits
        else -> 0xF0 or bits
    }
}

/** The code point that starts at a byte of well-formed UTF-8. */
internal fun utf8Point(bytes: ByteArray, at: Int): Int {
    val first = bytes[at].toInt() and 0xFF
    if (first < 0x80) return first
    val length = if (first < 0xE0) 2 else if (first < 0xF0) 3 else 4
    var point = first and (0xFF shr length + 1)
    for (i in 1 until length) point = point shl 6 or (bytes[at + i].toInt() and 0x3F)
    return point
}
