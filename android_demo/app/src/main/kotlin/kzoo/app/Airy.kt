package kzoo.app

import android.graphics.Paint
import android.text.style.LineHeightSpan

/**
 * Lines of one height with the words in their middle: a colour behind the words reaches as far on
 * every line. The metrics may be those that the line before was given: they are not widened twice.
 */
class Airy(private val height: Int) : LineHeightSpan {
    override fun chooseHeight(
        text: CharSequence, start: Int, end: Int, top: Int, bottom: Int, metrics: Paint.FontMetricsInt,
    ) {
        val missing = height - (metrics.descent - metrics.ascent)
        if (missing <= 0) return
        metrics.ascent -= missing / 2
        metrics.descent += missing - missing / 2
        metrics.top = minOf(metrics.top, metrics.ascent)
        metrics.bottom = maxOf(metrics.bottom, metrics.descent)
    }
}
