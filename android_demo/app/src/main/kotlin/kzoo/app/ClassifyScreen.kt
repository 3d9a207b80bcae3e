package kzoo.app

import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Problem
import kzoo.core.bundle.Reads
import kzoo.core.task.Classification
import kzoo.core.task.TextClassifier

/** Labels a text, or two, as it is typed. */
class ClassifyScreen(activity: MainActivity) :
    Screen(activity, "classify", R.layout.classify, Answers.LABELS, R.string.made_classify) {
    private val text: EditText = find(R.id.text)
    private val second: EditText = find(R.id.second)
    private val toggle: TextView = find(R.id.toggle)
    private val result: TextView = find(R.id.result)
    private val bars: LinearLayout = find(R.id.bars)
    private val note: TextView = find(R.id.note)

    /** Whether two texts are asked for; a bundle that reads but one kind of input decides that itself. */
    var pair = false
        set(value) {
            field = value
            arrange()
            refresh()
        }

    private val asksForTwo: Boolean get() = when (reads) {
        Reads.PAIR -> true
        Reads.EITHER -> pair
        else -> false
    }

    private val reads: Reads get() = source?.reads ?: Reads.EITHER

    private fun arrange() {
        second.showIf(asksForTwo)
        toggle.showIf(reads == Reads.EITHER)
        toggle.setText(if (pair) R.string.second_remove else R.string.second_add)
    }

    init {
        follow(text)
        follow(second)
        toggle.setOnClickListener { pair = !pair }
        pair = false
    }

    override fun update() {
        arrange()
        val first = text.words
        val other = if (asksForTwo) second.words else null
        if (first.isEmpty() || other?.isEmpty() == true) return rest()
        answer({ task, job -> timed { (task as TextClassifier).classify(first, other, job.isCancelled) } }) { (found, time) ->
            show(found, time)
        }
    }

    private fun show(found: Classification, milliseconds: Double) {
        if (found.reading.empty) return empty()
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
        note.text = "$more${cost(found.reading, milliseconds)}"
        note.setPadding(0, bars.resources.getDimensionPixelSize(R.dimen.gap), 0, 0)
    }

    override fun clear() {
        result.showIf(false)
        result.text = null
        bars.removeAllViews()
        note.setText(R.string.waiting_classify)
        note.setPadding(0, 0, 0, 0)
    }

    private companion object {
        const val MOST = 8
        const val DIGITS = 3
    }
}
