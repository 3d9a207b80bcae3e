package kzoo.core.image

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.sin

/**
 * How a picture gets another size, as Pillow does it, in the order of its numbers: each new pixel is the
 * mean of those that lie beneath it, weighed by a filter that grows with them where the picture shrinks.
 *
 * `weight` is the filter's height at a distance of its centre, `reach` how far it is above zero; null of
 * the nearest pixel, which is no mean.
 */
enum class Resampling(internal val reach: Double, internal val weight: ((Double) -> Double)?) {
    NEAREST(0.0, null),
    LANCZOS(3.0, { if (it > -3 && it < 3) sinc(it) * sinc(it / 3) else 0.0 }),
    BILINEAR(1.0, { maxOf(0.0, 1 - abs(it)) }),
    BICUBIC(2.0, { cubic(abs(it)) }),
    BOX(0.5, { if (it > -0.5 && it <= 0.5) 1.0 else 0.0 }),
    HAMMING(1.0, { if (abs(it) < 1) sinc(it) * (0.54f + 0.46f * cos(PI * it)) else 0.0 }),
}

private fun sinc(x: Double) = if (x == 0.0) 1.0 else sin(PI * x) / (PI * x)

/** Keys' cubic with a slope of -1/2, at a distance from its centre. */
private fun cubic(x: Double): Double = when {
    x < 1 -> (1.5 * x - 2.5) * x * x + 1
    x < 2 -> (((x - 5) * x + 8) * x - 4) * -0.5
    else -> 0.0
}

/** A part of a picture between two corners, which may lie within pixels. */
internal class Area(val left: Float, val top: Float, val right: Float, val bottom: Float)

/**
 * The picture, or an area of it, with other sides: one side after the other, with whole levels between.
 *
 * `older` is the order of Pillow before 13, which comes out one level different here and there.
 */
internal fun Picture.resized(
    columns: Int,
    rows: Int,
    by: Resampling,
    area: Area = Area(0f, 0f, width.toFloat(), height.toFloat()),
    older: Boolean = false,
): Picture {
    if (by == Resampling.NEAREST) return nearest(columns, rows, area)
    val across = Weights.of(width, area.left, area.right, columns, by)
    val down = Weights.of(height, area.top, area.bottom, rows, by)
    if (down == null) return if (across == null) this else across(across, columns, 0, height)
    if (across == null) return down(down, rows, 0)
    // As Pillow 13 was seen to do: downwards first where far more rows go than columns.
    if (!older && rows < height && 2 * (width - columns) < height - rows) return down(down, rows, 0).across(across, columns, 0, rows)
    // Rows above and below what is looked at need not be made narrower or wider.
    val first = down.first(0)
    return across(across, columns, first, down.first(rows - 1) + down.counts[rows - 1]).down(down, rows, first)
}

/**
 * For each new pixel along one side, which old ones it is made of, and how much of each.
 *
 * Weights are whole numbers of 1/2^22, which sum to one but for their rounding.
 */
private class Weights(private val firsts: IntArray, val counts: IntArray, val weights: IntArray, val width: Int) {
    fun first(place: Int) = firsts[place]

    companion object {
        /** Null where a side stays as it is. */
        fun of(size: Int, from: Float, to: Float, wanted: Int, by: Resampling): Weights? {
            if (size == wanted && from == 0f && to == size.toFloat()) return null
            val scale = (to - from).toDouble() / wanted
            val stretch = maxOf(scale, 1.0)
            val reach = by.reach * stretch
            val width = ceil(reach).toInt() * 2 + 1
            val firsts = IntArray(wanted)
            val counts = IntArray(wanted)
            val weights = IntArray(wanted * width)
            val exact = DoubleArray(width)
            val narrowed = 1.0 / stretch
            for (place in 0 until wanted) {
                val centre = from + (place + 0.5) * scale
                val first = maxOf(0, (centre - reach + 0.5).toInt())
                val count = minOf(size, (centre + reach + 0.5).toInt()) - first
                var sum = 0.0
                for (step in 0 until count) {
                    exact[step] = by.weight!!((step + first - centre + 0.5) * narrowed)
                    sum += exact[step]
                }
                firsts[place] = first
                counts[place] = count
                for (step in 0 until count) {
                    val share = if (sum == 0.0) 0.0 else exact[step] / sum
                    weights[place * width + step] = (share * ONE + if (share < 0) -0.5 else 0.5).toInt()
                }
            }
            return Weights(firsts, counts, weights, width)
        }
    }
}

private const val BITS = 22
private const val ONE = 1 shl BITS
private const val HALF = 1 shl (BITS - 1)

/** The rows from `first` to `last`, each with as many columns as there are weights for. */
private fun Picture.across(by: Weights, columns: Int, first: Int, last: Int): Picture {
    val made = IntArray(columns * (last - first))
    for (row in first until last) {
        for (column in 0 until columns) {
            made[(row - first) * columns + column] = mean(row * width + by.first(column), 1, by, column)
        }
    }
    return Picture(columns, last - first, made)
}

/** As many rows as there are weights for, of a picture whose first row is that of number `above`. */
private fun Picture.down(by: Weights, rows: Int, above: Int): Picture {
    val made = IntArray(width * rows)
    for (row in 0 until rows) {
        for (column in 0 until width) made[row * width + column] = mean((by.first(row) - above) * width + column, width, by, row)
    }
    return Picture(width, rows, made)
}

private fun Picture.mean(start: Int, step: Int, by: Weights, place: Int): Int {
    var red = HALF
    var green = HALF
    var blue = HALF
    var from = start
    val base = place * by.width
    for (number in base until base + by.counts[place]) {
        val weight = by.weights[number]
        val pixel = pixels[from]
        red += (pixel shr 16 and 255) * weight
        green += (pixel shr 8 and 255) * weight
        blue += (pixel and 255) * weight
        from += step
    }
    return level(red) shl 16 or (level(green) shl 8) or level(blue)
}

private fun level(sum: Int) = (sum shr BITS).coerceIn(0, 255)

private fun Picture.nearest(columns: Int, rows: Int, area: Area): Picture {
    val across = places(area.left, area.right, columns, width)
    val down = places(area.top, area.bottom, rows, height)
    return Picture(columns, rows, IntArray(columns * rows) { pixels[down[it / columns] * width + across[it % columns]] })
}

/** Which of `size` old pixels lie under each new one; steps are added up, as Pillow does. */
private fun places(from: Float, to: Float, count: Int, size: Int): IntArray {
    val step = (to - from).toDouble() / count
    var place = from + step * 0.5
    return IntArray(count) { place.toInt().coerceIn(0, size - 1).also { place += step } }
}
