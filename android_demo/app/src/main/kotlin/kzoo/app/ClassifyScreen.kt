package kzoo.app

import android.widget.EditText
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Reads
import kzoo.core.bundle.Sense
import kzoo.core.task.Classification
import kzoo.core.task.TextClassifier

/** Labels a text, or two, as it is typed. */
class ClassifyScreen(activity: MainActivity) :
    LabelsScreen(activity, "classify", R.layout.classify, Sense.TEXT, Answers.LABELS, R.string.made_classify) {
    private val text: EditText = find(R.id.text)
    private val second: EditText = find(R.id.second)
    private val toggle: TextView = find(R.id.toggle)

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
        if (found.reading.empty) empty() else show(found, cost(found.reading, milliseconds))
    }

    override fun clear() {
        super.clear()
        note.setText(R.string.waiting_classify)
    }
}
