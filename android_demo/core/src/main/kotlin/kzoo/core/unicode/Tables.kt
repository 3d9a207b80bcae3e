package kzoo.core.unicode

/** A number for each code point, 0 unless set. Blocks of code points that are alike are one array. */
internal class PointMap {
    private val blocks = Array(0x1100) { ZEROS }

    operator fun get(point: Int): Int = blocks[point shr 8][point and 0xFF]

    operator fun set(point: Int, value: Int) {
        val block = point shr 8
        if (blocks[block] === ZEROS) blocks[block] = IntArray(256)
        blocks[block][point and 0xFF] = value
    }

    fun fill(from: Int, to: Int, value: Int) {
        var whole: IntArray? = null
        var at = from
        while (at < to) {
            val block = at shr 8
            val end = minOf(to, block + 1 shl 8)
            if (end - at == 256) {
                whole = whole ?: IntArray(256) { value }
                blocks[block] = whole
            } else {
                if (blocks[block] === ZEROS) blocks[block] = IntArray(256)
                blocks[block].fill(value, at and 0xFF, (end - 1 and 0xFF) + 1)
            }
            at = end
        }
    }

    private companion object {
        val ZEROS = IntArray(256)
    }
}

/** What code points become: for each that changes, the place in [pool] of a count and the points. */
internal class PointMapping(private val places: PointMap, val pool: IntArray) {
    /** Where in [pool] the count stands, or 0 for a code point that stays. */
    fun place(point: Int): Int = places[point]
}

/**
 * What `tokenizers` holds of code points, as `android_demo/unicode/generate.py` asked it.
 *
 * Not the platform's tables: those differ by Android version, and from the library's, on hundreds
 * of code points.
 */
internal object Unicode {
    private const val SPACE = 1
    private const val PUNCTUATION = 1 shl 1
    private const val CONTROL = 1 shl 2
    private const val NONSPACING = 1 shl 3
    private const val COMBINING = 1 shl 4
    private const val LETTER = 1 shl 5
    private const val NUMBER = 1 shl 6
    private const val WORD = 1 shl 7
    private const val NUMERIC = 1 shl 8
    private const val LINKER = 1 shl 9
    private const val CONJUNCT = 1 shl 10

    private val properties: PointMap
    val lowercase: PointMapping
    /** What follows in the file: the tables of [Decompositions]. */
    val rest: Numbers

    init {
        val bytes = Unicode::class.java.getResourceAsStream("tables.bin")!!.use { it.readBytes() }
        rest = Numbers(bytes)
        properties = rest.ranges()
        lowercase = rest.mapping()
    }

    fun isSpace(point: Int) = properties[point] and SPACE != 0
    fun isPunctuation(point: Int) = properties[point] and PUNCTUATION != 0
    /** What BERT's cleaning removes. */
    fun isControl(point: Int) = properties[point] and CONTROL != 0
    fun isNonspacing(point: Int) = properties[point] and NONSPACING != 0
    fun isCombining(point: Int) = properties[point] and COMBINING != 0
    fun isLetter(point: Int) = properties[point] and LETTER != 0
    fun isNumber(point: Int) = properties[point] and NUMBER != 0
    fun isWord(point: Int) = properties[point] and WORD != 0
    fun isNumeric(point: Int) = properties[point] and NUMERIC != 0
    fun isLinker(point: Int) = properties[point] and LINKER != 0
    fun isInConjunct(point: Int) = properties[point] and CONJUNCT != 0
    /** One of the classes in `Graphemes`. */
    fun graphemeClass(point: Int) = properties[point] shr 11 and 0x1F
    /** The rank of the canonical combining class: 0 for none, else in the order of the classes. */
    fun combiningClass(point: Int) = properties[point] ushr 16
}

/** The mappings of the normalization forms, which are read when the first text needs them. */
internal object Decompositions {
    val canonical: PointMapping
    val compatible: PointMapping
    private val pairs: LongArray
    private val composites: IntArray

    init {
        val numbers = Unicode.rest
        canonical = numbers.mapping()
        compatible = numbers.mapping()
        val count = numbers.next()
        pairs = LongArray(count)
        composites = IntArray(count)
        var first = 0
        for (i in 0 until count) {
            first += numbers.next()
            pairs[i] = first.toLong() shl 32 or numbers.next().toLong()
            composites[i] = first + numbers.signed()
        }
    }

    /** What two code points compose to, Hangul left out; or -1. */
    fun composite(first: Int, second: Int): Int {
        val place = pairs.binarySearch(first.toLong() shl 32 or second.toLong())
        return if (place < 0) -1 else composites[place]
    }
}

/** The file's numbers, seven bits a byte. */
internal class Numbers(private val bytes: ByteArray) {
    private var at = 0

    fun next(): Int {
        var value = 0
        var shift = 0
        while (true) {
            val byte = bytes[at++].toInt()
            value = value or (byte and 0x7F shl shift)
            if (byte >= 0) return value
            shift += 7
        }
    }

    fun signed(): Int = next().let { (it ushr 1) xor -(it and 1) }

    fun ranges(): PointMap = PointMap().also { map ->
        var at = 0
        repeat(next()) {
            val from = at + next()
            at = from + next()
            map.fill(from, at, next())
        }
    }

    fun mapping(): PointMapping {
        val places = PointMap()
        val count = next()
        var pool = IntArray(count * 4 + 1)
        var size = 1
        var point = 0
        repeat(count) {
            point += next()
            val length = next()
            if (size + length >= pool.size) pool = pool.copyOf(pool.size * 2 + length)
            places[point] = size
            pool[size++] = length
            var previous = point
            repeat(length) {
                previous += signed()
                pool[size++] = previous
            }
        }
        return PointMapping(places, pool)
    }
}
