package kzoo.app

import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.style.BackgroundColorSpan
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense
import kzoo.core.task.Answer
import kzoo.core.task.QuestionAnswerer

/** Finds the answer to a question in a long text, and marks it there. */
class AnswerScreen(activity: MainActivity) :
    Screen(activity, "answer", R.layout.answer, Sense.TEXT, Answers.SPAN, R.string.made_answer) {
    private val question: EditText = find(R.id.question)
    private val text: EditText = find(R.id.passage)
    private val result: TextView = find(R.id.result)
    private val bars: LinearLayout = find(R.id.bars)
    private val marked: TextView = find(R.id.marked)
    private val note: TextView = find(R.id.note)

    init {
        follow(question)
        follow(text, LONG)
    }

    override fun update() {
        val asked = question.words
        val context = text.words
        if (asked.isBlank() || context.isBlank()) return rest()
        answer({ task, job ->
            timed {
                (task as QuestionAnswerer).answer(asked, context, job.isCancelled) { read, all ->
                    progress(job, note) { activity.getString(R.string.reading, read, all) }
                }
            }
        }) { (found, time) -> show(context, found, time) }
    }

    private fun show(context: String, found: Answer, milliseconds: Double) {
        if (found.reading.empty) return empty()
        if (found.text.isEmpty()) {
            clear()
            return say(activity.getString(R.string.no_answer), wrong = false)
        }
        val percent = percent(found.score)
        tell(result, found.text, activity.getString(R.string.answer_is, found.text, percent))
        bars.removeAllViews()
        bar(
            bars, activity.getString(R.string.probability), found.score, activity.getString(R.string.percent, percent),
            activity.getString(R.string.bar, activity.getString(R.string.probability), percent),
        )
        marked.text = excerpt(context, found)
        marked.showIf(true)
        val tokens = activity.resources.getQuantityString(R.plurals.tokens, found.reading.tokens, found.reading.tokens)
        val cost = activity.getString(R.string.cost, tokens, number(milliseconds, 1))
        note.text = if (found.reading.truncated) cost + "\n" + activity.getString(R.string.question_cut) else cost
        note.setPadding(0, activity.resources.getDimensionPixelSize(R.dimen.gap), 0, 0)
    }

    /** The answer in its colour, and what stands round it, up to whole words. */
    private fun excerpt(context: String, found: Answer): CharSequence {
        var from = maxOf(0, found.start - AROUND)
        var to = minOf(context.length, found.end + AROUND)
        while (from > 0 && from < found.start && !context[from - 1].isWhitespace()) from++
        while (to < context.length && to > found.end && !context[to].isWhitespace()) to--
        val shown = SpannableStringBuilder()
        if (from > 0) shown.append("… ")
        val start = shown.length + found.start - from
        shown.append(context, from, to)
        if (to < context.length) shown.append(" …")
        val mark = BackgroundColorSpan(activity.getColor(R.color.mark))
        shown.setSpan(mark, start, start + found.end - found.start, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
        shown.setSpan(airy(marked), 0, shown.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
        return shown
    }

    override fun clear() {
        result.showIf(false)
        marked.showIf(false)
        result.text = null
        marked.text = null
        bars.removeAllViews()
        note.setText(R.string.waiting_answer)
        note.setPadding(0, 0, 0, 0)
    }

    private companion object {
        const val AROUND = 240
    }
}
