package kzoo.core.audio

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.sin
import kotlin.math.sqrt

/*
 * Another rate by one low-pass filter, a sine cardinal in Kaiser's window. Its numbers were fitted to what
 * soxr's "high quality", which Python resamples with, makes of an impulse: within 0.02 % of its height.
 */
/** Where a tone is halved, as a share of half the lower rate. */
private const val CUT = 0.95686
/** Zero crossings on each side. */
private const val CROSSINGS = 96.708
private const val SHAPE = 13.951
/** Entries of the table between two zero crossings, between which it is straight. */
private const val STEPS = 1024

/** Half of the filter, from its middle on. */
private val FILTER: DoubleArray by lazy {
    DoubleArray(ceil(CROSSINGS).toInt() * STEPS + 2) {
        val x = it.toDouble() / STEPS
        val edge = x / CROSSINGS
        val window = if (edge < 1) bessel(SHAPE * sqrt(1 - edge * edge)) / bessel(SHAPE) else 0.0
        (if (it == 0) 1.0 else sin(PI * x) / (PI * x)) * window
    }
}

/** The modified Bessel function of the first kind and order zero, by its series. */
private fun bessel(x: Double): Double {
    var term = 1.0
    var sum = 1.0
    var n = 1
    while (term > sum * 1e-17) {
        term *= (x / (2 * n)) * (x / (2 * n))
        sum += term
        n++
    }
    return sum
}

/** The first `count` samples of another rate; the first of both are at the same time. */
internal fun resampled(samples: FloatArray, rate: Int, wanted: Int, count: Int): FloatArray {
    // Zero crossings a sample: the band ends at half of the lower rate.
    val density = CUT * minOf(1.0, wanted.toDouble() / rate)
    val reach = CROSSINGS / density
    return FloatArray(count) { place ->
        val centre = place.toDouble() * rate / wanted
        val first = maxOf(0, ceil(centre - reach).toInt())
        val last = minOf(samples.size - 1, floor(centre + reach).toInt())
        var sum = 0.0
        for (sample in first..last) {
            val x = abs(sample - centre) * density * STEPS
            val entry = x.toInt()
            sum += samples[sample] * (FILTER[entry] + (x - entry) * (FILTER[entry + 1] - FILTER[entry]))
        }
        (sum * density).toFloat()
    }
}
