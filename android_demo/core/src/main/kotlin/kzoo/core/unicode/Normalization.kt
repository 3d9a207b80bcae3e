package kzoo.core.unicode

internal enum class Form(val isCompatible: Boolean, val composes: Boolean, val firstChanged: Int) {
    NFD(false, false, 0xC0),
    NFC(false, true, 0x300),
    NFKD(true, false, 0xA0),
    NFKC(true, true, 0xA0),
}

/** Receives a code point and how many more of the text than it replaces: see `Normalization`. */
internal fun interface Changes {
    fun put(point: Int, change: Int)
}

/**
 * Unicode's normalization forms (UAX 15), with an account of where each code point came from.
 *
 * A change of 0 replaces the next code point of the text, of -n that one and n that follow, of 1
 * none: it was added. A mark that moves takes its change along, as in Hugging Face's library, so
 * that alignment is by count and not by character.
 */
internal object Normalization {
    fun isUnchanged(points: IntArray, from: Int, to: Int, form: Form): Boolean {
        for (i in from until to) if (points[i] >= form.firstChanged) return false
        return true
    }

    fun normalize(points: IntArray, from: Int, to: Int, form: Form, out: Changes) {
        val run = Run(to - from + 16)
        for (i in from until to) decompose(points[i], form.isCompatible, run)
        run.order()
        if (form.composes) run.compose()
        for (i in 0 until run.size) out.put(run.points[i], run.changes[i])
    }

    private fun decompose(point: Int, isCompatible: Boolean, run: Run) {
        if (point in HANGUL until HANGUL + HANGUL_COUNT) {
            val syllable = point - HANGUL
            run.add(LEADING + syllable / BLOCK, 0)
            run.add(VOWEL + syllable % BLOCK / FINALS, 1)
            if (syllable % FINALS > 0) run.add(FINAL + syllable % FINALS, 1)
            return
        }
        var mapping = Decompositions.canonical
        var place = 0
        if (isCompatible) {
            mapping = Decompositions.compatible
            place = mapping.place(point)
        }
        if (place == 0) {
            mapping = Decompositions.canonical
            place = mapping.place(point)
        }
        if (place == 0) return run.add(point, 0)
        for (i in 1..mapping.pool[place]) run.add(mapping.pool[place + i], if (i == 1) 0 else 1)
    }

    private fun compose(first: Int, second: Int): Int = when {
        first in LEADING until LEADING + 19 && second in VOWEL until VOWEL + 21 ->
            HANGUL + (first - LEADING) * BLOCK + (second - VOWEL) * FINALS
        first in HANGUL until HANGUL + HANGUL_COUNT && (first - HANGUL) % FINALS == 0 &&
            second in FINAL + 1 until FINAL + FINALS -> first + second - FINAL
        else -> Decompositions.composite(first, second)
    }

    private class Run(capacity: Int) {
        var points = IntArray(capacity)
        var changes = IntArray(capacity)
        var size = 0

        fun add(point: Int, change: Int) {
            if (size == points.size) {
                points = points.copyOf(size * 2)
                changes = changes.copyOf(size * 2)
            }
            points[size] = point
            changes[size++] = change
        }

        /** Sorts each run of marks by combining class; equal ones keep their order. */
        fun order() {
            var at = 0
            while (at < size) {
                if (Unicode.combiningClass(points[at++]) == 0) continue
                val start = at - 1
                while (at < size && Unicode.combiningClass(points[at]) != 0) at++
                if (at - start > 1) sort(start, at)
            }
        }

        private fun sort(start: Int, end: Int) {
            val keys = LongArray(end - start) {
                Unicode.combiningClass(points[start + it]).toLong() shl 32 or it.toLong()
            }
            keys.sort()
            val sorted = IntArray(keys.size) { points[start + keys[it].toInt()] }
            val moved = IntArray(keys.size) { changes[start + keys[it].toInt()] }
            sorted.copyInto(points, start)
            moved.copyInto(changes, start)
        }

        /** Joins marks, and Hangul's letters, with the starter before them; in place. */
        fun compose() {
            var kept = 0
            var starter = -1
            var lastClass = 0 // Of the last mark that stayed behind the starter.
            for (i in 0 until size) {
                val mark = Unicode.combiningClass(points[i])
                if (starter >= 0 && (lastClass == 0 || lastClass < mark)) {
                    val joined = compose(points[starter], points[i])
                    if (joined >= 0) {
                        points[starter] = joined
                        changes[starter] += changes[i] - 1
                        continue
                    }
                }
                if (mark == 0) starter = kept
                lastClass = mark
                points[kept] = points[i]
                changes[kept++] = changes[i]
            }
            size = kept
        }
    }

    private const val HANGUL = 0xAC00
    private const val LEADING = 0x1100
    private const val VOWEL = 0x1161
    private const val FINAL = 0x11A7 // One before the first: syllables without one count as 0.
    private const val FINALS = 28
    private const val BLOCK = 21 * FINALS
    private const val HANGUL_COUNT = 19 * BLOCK
}
