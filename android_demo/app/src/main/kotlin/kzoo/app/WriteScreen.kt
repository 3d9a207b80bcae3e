package kzoo.app

import android.graphics.Typeface
import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.style.StyleSpan
import android.widget.EditText
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense
import kzoo.core.task.Ending
import kzoo.core.task.TextWriter
import kzoo.core.task.Writing

/**
 * What was written behind a prompt. `state` says in a sentence whether it goes on, and if not, why;
 * `figures` how many tokens there are and how fast they came.
 */
class Draft(val prompt: String, var state: String) {
    val text = StringBuilder()
    var figures = ""
}

/** Writes on from a text until the model ends it or has no more room, or its user stops it. */
class WriteScreen(activity: MainActivity) :
    Screen(activity, "write", R.layout.write, Sense.TEXT, Answers.CONTINUATION, R.string.made_write) {
    private val prompt: EditText = find(R.id.prompt)
    private val go: TextView = find(R.id.go)
    private val state: TextView = find(R.id.state)
    private val written: TextView = find(R.id.written)
    private val note: TextView = find(R.id.note)

    /** What is being written now. */
    private var under: Draft? = null

    init {
        limit(prompt)
        go.setOnClickListener { if (under == null) write() else halt() }
        clear()
    }

    /** Writing waits for its button; what was written before the screen turned is shown again. */
    override fun update() {
        go.showIf(true)
        if (under == null) app.drafts[source?.id]?.let(::show) ?: clear()
    }

    private fun write() {
        val source = source ?: return
        clear()
        say(null)
        val draft = Draft(prompt.words, activity.getString(R.string.writing))
        under = draft
        app.drafts[source.id] = draft
        go.setText(R.string.stop)
        show(draft)
        app.worker.submit(
            this,
            { job ->
                (app.tasks.get(source) as TextWriter).write(draft.prompt, usual = Int.MAX_VALUE, cancelled = job.isCancelled) { writing, piece ->
                    val figures = figures(writing)
                    job.post { add(draft, piece, figures) }
                }
            },
            { writing -> end(draft, if (writing.ending == Ending.END) R.string.written_whole else R.string.written_full) },
            { error ->
                app.drafts.remove(source.id)
                clear()
                say(activity.sentence(error))
            },
        )
    }

    private fun add(draft: Draft, piece: String, figures: String) {
        draft.text.append(piece)
        draft.figures = figures
        written.append(piece)
        note.text = figures
    }

    private fun end(draft: Draft, reason: Int) {
        draft.state = activity.getString(reason)
        under = null
        go.setText(R.string.write)
        tell(state, draft.state, "${draft.state} ${draft.text}")
    }

    /** Whoever left or pressed the button has what was written so far. */
    private fun halt() {
        val draft = under ?: return
        app.worker.cancel(this)
        end(draft, R.string.written_part)
    }

    override fun hide() {
        halt()
        super.hide()
    }

    private fun show(draft: Draft) {
        val text = SpannableStringBuilder(draft.prompt)
        text.setSpan(StyleSpan(Typeface.BOLD), 0, text.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
        written.text = text.append(draft.text)
        written.showIf(true)
        tell(state, draft.state)
        note.text = draft.figures
    }

    private fun figures(writing: Writing): String {
        val tokens = activity.resources.getQuantityString(R.plurals.tokens, writing.tokens, writing.tokens)
        val first = number(writing.firstMilliseconds ?: 0.0, 1)
        val speed = writing.tokensPerSecond ?: return activity.getString(R.string.first_token, tokens, first)
        return activity.getString(R.string.tokens_a_second, tokens, first, number(speed, if (speed < 100) 1 else 0))
    }

    override fun clear() {
        halt()
        go.showIf(source != null)
        go.setText(R.string.write)
        state.showIf(false)
        written.showIf(false)
        state.text = null
        written.text = null
        note.setText(R.string.waiting_write)
    }
}
