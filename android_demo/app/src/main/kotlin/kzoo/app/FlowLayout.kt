package kzoo.app

import android.content.Context
import android.util.AttributeSet
import android.view.View
import android.view.ViewGroup

/** Children side by side, in as many lines as they need. */
class FlowLayout(context: Context, attributes: AttributeSet?) : ViewGroup(context, attributes) {
    private val gap = (8 * resources.displayMetrics.density).toInt()

    override fun onMeasure(widthSpec: Int, heightSpec: Int) {
        val width = MeasureSpec.getSize(widthSpec)
        for (child in children()) {
            child.measure(
                MeasureSpec.makeMeasureSpec(width, MeasureSpec.AT_MOST),
                MeasureSpec.makeMeasureSpec(0, MeasureSpec.UNSPECIFIED),
            )
        }
        setMeasuredDimension(width, place(width) { _, _, _ -> })
    }

    override fun onLayout(changed: Boolean, left: Int, top: Int, right: Int, bottom: Int) {
        place(right - left) { child, x, y ->
            val start = if (layoutDirection == LAYOUT_DIRECTION_RTL) right - left - x - child.measuredWidth else x
            child.layout(start, y, start + child.measuredWidth, y + child.measuredHeight)
        }
    }

    /** Tells where each child goes, and returns how high all are together. */
    private fun place(width: Int, put: (View, Int, Int) -> Unit): Int {
        var x = 0
        var y = paddingTop
        var line = 0
        for (child in children()) {
            if (x > 0 && x + child.measuredWidth > width) {
                x = 0
                y += line + gap
                line = 0
            }
            put(child, x, y)
            x += child.measuredWidth + gap
            line = maxOf(line, child.measuredHeight)
        }
        return y + line
    }

    private fun children() = (0 until childCount).map(::getChildAt)
}
