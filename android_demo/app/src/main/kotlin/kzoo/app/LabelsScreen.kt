package kzoo.app

import android.widget.LinearLayout
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Problem
import kzoo.core.bundle.Sense
import kzoo.core.task.Classification

/** A page whose bundle answers with labels, or with values: the answer large, and below it a bar for each label. */
abstract class LabelsScreen(activity: MainActivity, key: String, layout: Int, sense: Sense, answers: Answers, made: Int) :
    Screen(activity, key, layout, sense, answers, made) {
    protected val result: TextView = find(R.id.result)
    protected val bars: LinearLayout = find(R.id.bars)
    protected val note: TextView = find(R.id.note)

    /** `cost` is what is said below. */
    protected fun show(found: Classification, cost: String) {
        bars.removeAllViews()
        val values = found.problem == Problem.REGRESSION
        when {
            values -> found.scores.singleOrNull()?.let { tell(result, number(it.second, DIGITS)) } ?: result.showIf(false)
            found.labels.isEmpty() -> tell(result, activity.getString(R.string.no_label))
            else -> tell(result, found.labels.joinToString())
        }
        for ((label, score) in if (values) found.scores.take(MOST) else found.scores.sortedByDescending { it.second }.take(MOST)) {
            if (values) {
                fact(bars, label, number(score, DIGITS))
                continue
            }
            val percent = percent(score)
            bar(bars, label, score, activity.getString(R.string.percent, percent), activity.getString(R.string.bar, label, percent))
        }
        val rest = found.scores.size - MOST
        val more = if (rest > 0) activity.resources.getQuantityString(R.plurals.more, rest, rest) + "\n" else ""
        note.text = "$more$cost"
        note.setPadding(0, bars.resources.getDimensionPixelSize(R.dimen.gap), 0, 0)
    }

    override fun clear() {
        result.showIf(false)
        result.text = null
        bars.removeAllViews()
        note.setPadding(0, 0, 0, 0)
    }

    private companion object {
        const val MOST = 8
        const val DIGITS = 3
    }
}
