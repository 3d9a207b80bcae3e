package kzoo.app

import android.text.SpannableStringBuilder
import android.widget.EditText
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense
import kzoo.core.task.Ending
import kzoo.core.task.Opened
import kzoo.core.task.Writing

/**
 * What was written behind a prompt, or of it. `state` says in a sentence whether it goes on, and if not, why;
 * `figures` how many tokens there are and how fast they came.
 */
class Draft(val prompt: String, var state: String) {
    val text = StringBuilder()
    var figures = ""
}

/**
 * Writes until the model ends the text or has no more room, or its user stops it; `hint` says what is to be
 * given, and `waiting` what will be shown.
 */
abstract class WritingScreen(
    activity: MainActivity, key: String, answers: Answers, made: Int, private val button: Int, hint: Int, private val waiting: Int,
) : Screen(activity, key, R.layout.write, Sense.TEXT, answers, made) {
    protected val prompt: EditText = find(R.id.prompt)
    private val go: TextView = find(R.id.go)
    private val state: TextView = find(R.id.state)
    private val written: TextView = find(R.id.written)
    private val note: TextView = find(R.id.note)

    /** What is being written now. */
    private var under: Draft? = null

    init {
        prompt.setHint(hint)
        limit(prompt)
        go.setOnClickListener { if (under == null) write() else halt() }
    }

    /** What is shown before what is written; by default nothing. */
    protected open fun before(draft: Draft): CharSequence = ""

    /** Writes to the end, and tells `each` after every token how far the text is. */
    protected abstract fun write(task: Opened, prompt: String, cancelled: () -> Boolean, each: (Writing, String) -> Unit): Writing

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
                write(app.tasks.get(source), draft.prompt, job.isCancelled) { writing, piece ->
                    val figures = figures(writing)
                    if (writing.isGrowing) job.post { add(draft, piece, figures) }
                    else writing.text.let { whole -> job.post { change(draft, whole, figures) } }
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

    private fun change(draft: Draft, whole: String, figures: String) {
        draft.text.setLength(0)
        written.text = SpannableStringBuilder(before(draft))
        add(draft, whole, figures)
    }

    private fun end(draft: Draft, reason: Int) {
        draft.state = activity.getString(reason)
        under = null
        go.setText(button)
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
        written.text = SpannableStringBuilder(before(draft)).append(draft.text)
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
        go.setText(button)
        state.showIf(false)
        written.showIf(false)
        state.text = null
        written.text = null
        note.setText(waiting)
    }
}
