package kzoo.app

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View

/** A share of one, as a bar with round ends; it grows from the side where reading begins. */
class BarView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val track = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.track) }
    private val filled = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.accent) }

    var share = 0f
        set(value) {
            field = value.coerceIn(0f, 1f)
            invalidate()
        }

    override fun onDraw(canvas: Canvas) {
        val width = width.toFloat()
        val height = height.toFloat()
        val round = height / 2
        canvas.drawRoundRect(0f, 0f, width, height, round, round, track)
        if (share <= 0) return
        val length = maxOf(height, width * share)
        val left = if (layoutDirection == LAYOUT_DIRECTION_RTL) width - length else 0f
        canvas.drawRoundRect(left, 0f, left + length, height, round, round, filled)
    }
}
