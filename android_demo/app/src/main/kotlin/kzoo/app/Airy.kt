package kzoo.app

import android.graphics.Paint
import android.text.style.LineHeightSpan

/** Space above and below each line, half and half: a colour behind the words reaches as far on every line. */
class Airy(private val pixels: Int) : LineHeightSpan {
    override fun chooseHeight(
        text: CharSequence, start: Int, end: Int, top: Int, height: Int, metrics: Paint.FontMetricsInt,
    ) {
        metrics.ascent -= pixels / 2
        metrics.top = minOf(metrics.top, metrics.ascent)
        metrics.descent += pixels / 2
        metrics.bottom = maxOf(metrics.bottom, metrics.descent)
    }
}
