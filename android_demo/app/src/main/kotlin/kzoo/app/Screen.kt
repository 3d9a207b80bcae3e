package kzoo.app

import android.content.ActivityNotFoundException
import android.content.Intent
import android.os.Bundle
import android.os.SystemClock
import android.text.Editable
import android.text.InputFilter
import android.text.Spanned
import android.text.TextWatcher
import android.view.View
import android.view.ViewGroup
import android.widget.EditText
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView
import android.widget.Toast
import java.text.NumberFormat
import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense
import kzoo.core.task.Opened
import kzoo.core.task.Reading

/**
 * One of the app's pages: a view, and the bundle that answers in it.
 *
 * `sense` is what a bundle must read and `answers` what it must answer with, or null where any will do;
 * `made` is a string that says so.
 */
abstract class Screen(
    protected val activity: MainActivity,
    val key: String,
    layout: Int,
    private val sense: Sense,
    val answers: Answers?,
    private val made: Int,
) {
    val view: View = activity.layoutInflater.inflate(layout, null)
    protected val app = activity.application as KzooApp
    private val problem: TextView = find(R.id.problem)
    private val pending = Runnable { clear() }
    private var asked = 0L

    /** What the bundle in use is, or null before one was chosen. */
    var source: Source? = null
        private set

    var shown = false
        private set
    private var listed = false

    /** Takes what is to be answered from the view, and answers it. */
    protected abstract fun update()

    /** Takes an answer that is no longer true off the view. */
    protected abstract fun clear()

    /** Whether this page answers with a bundle as only few do. */
    fun fits(source: Source) = source.reads.sense == sense && source.answers == answers

    /** What another app answers to a question of this page, see `FileScreen`. */
    open fun received(request: Int, data: Intent?) {}

    /** The user has said whether this page may do what it asked for. */
    open fun permitted(request: Int) {}

    /** Keeps what no view keeps when the screen turns. */
    open fun save(state: Bundle) {}

    open fun restore(state: Bundle) {}

    fun use(source: Source?) {
        listed = true
        if (source?.id != this.source?.id) clear()
        this.source = source
        if (shown) refresh()
    }

    fun show() {
        shown = true
        refresh()
    }

    open fun hide() {
        shown = false
        app.worker.cancel(this)
        view.removeCallbacks(pending)
    }

    protected fun refresh() {
        if (!shown) return
        say(null)
        if (source == null) {
            clear()
            if (listed) say(activity.getString(R.string.none_packed, activity.getString(made)), wrong = false)
        } else {
            update()
        }
    }

    /** Answers off the main thread; what was asked before from this screen is cancelled. */
    protected fun <T> answer(work: (Opened, Worker.Job) -> T, show: (T) -> Unit) {
        val source = source ?: return
        view.removeCallbacks(pending)
        view.postDelayed(pending, PATIENCE)
        asked = SystemClock.uptimeMillis()
        app.worker.submit(
            this,
            { job -> work(app.tasks.get(source), job) },
            { result ->
                view.removeCallbacks(pending)
                say(null)
                show(result)
            },
            { error ->
                view.removeCallbacks(pending)
                clear()
                say(activity.sentence(error))
            },
        )
    }

    /** What the screen says now stays there until the answer comes. */
    protected fun stays() {
        view.removeCallbacks(pending)
    }

    /** Says how far long work is, once the answer to the text before is off the screen. */
    protected fun progress(job: Worker.Job, into: TextView, sentence: () -> String) = job.post {
        if (SystemClock.uptimeMillis() - asked > PATIENCE) into.text = sentence()
    }

    /** Nothing is to be answered: what is under way is not wanted either. */
    protected fun rest() {
        app.worker.cancel(this)
        view.removeCallbacks(pending)
        clear()
    }

    protected fun empty() {
        clear()
        say(activity.getString(R.string.empty), wrong = false)
    }

    /** Shows a sentence on what is wrong or, calmer, what is to be done; or none. */
    protected fun say(sentence: String?, wrong: Boolean = true) {
        problem.text = sentence
        problem.showIf(sentence != null)
        problem.setBackgroundResource(if (wrong) R.drawable.problem else R.drawable.hint)
        problem.setTextColor(activity.getColor(if (wrong) R.color.bad else R.color.text))
    }

    /** Asks another app; `missing` is a sentence for a device that has none. */
    protected fun ask(intent: Intent, request: Int, missing: Int) {
        try {
            activity.startActivityForResult(intent, request)
        } catch (error: ActivityNotFoundException) {
            activity.tell(activity.getString(missing))
        } catch (error: SecurityException) { // Of a camera whose use was forbidden.
            activity.tell(activity.getString(missing))
        }
    }

    protected fun <V : View> find(id: Int): V = view.findViewById(id)!!

    /** Asks for an answer after every change of a field, which keeps no more than `most` characters. */
    protected fun follow(field: EditText, most: Int = SHORT) {
        limit(field, most)
        field.addTextChangedListener(object : TextWatcher {
            override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit
            override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit
            override fun afterTextChanged(text: Editable?) = refresh()
        })
    }

    /** Lets a field keep no more than `most` characters. */
    protected fun limit(field: EditText, most: Int = SHORT) {
        field.filters = arrayOf(Limit(most))
    }

    /** What a screen reader reads out where it changes; typing on is not a reason to say it again. */
    protected fun tell(view: TextView, text: CharSequence, spoken: CharSequence = text) {
        if (view.text.toString() != text.toString()) view.text = text
        if (view.contentDescription?.toString() != spoken.toString()) view.contentDescription = spoken
        view.showIf(true)
    }

    protected fun bar(into: ViewGroup, label: String, share: Double, value: String, description: String) {
        val row = activity.layoutInflater.inflate(R.layout.bar, into, false)
        row.findViewById<TextView>(R.id.label)!!.text = label
        row.findViewById<TextView>(R.id.value)!!.text = value
        row.findViewById<BarView>(R.id.bar)!!.share = share.toFloat()
        row.contentDescription = description
        into.addView(row)
    }

    protected fun fact(into: ViewGroup, label: String, value: String): View {
        val row = activity.layoutInflater.inflate(R.layout.fact, into, false)
        row.findViewById<TextView>(R.id.label)!!.text = label
        row.findViewById<TextView>(R.id.value)!!.text = value
        into.addView(row)
        return row
    }

    protected fun check(into: ViewGroup, passed: Boolean, label: String, value: String) {
        val row = activity.layoutInflater.inflate(R.layout.check, into, false)
        val icon = row.findViewById<ImageView>(R.id.icon)!!
        icon.setImageResource(if (passed) R.drawable.ic_pass else R.drawable.ic_fail)
        icon.setColorFilter(activity.getColor(if (passed) R.color.good else R.color.bad))
        row.findViewById<TextView>(R.id.label)!!.text = label
        row.findViewById<TextView>(R.id.value)!!.text = value
        row.contentDescription = activity.getString(if (passed) R.string.passed else R.string.not_passed, label, value)
        into.addView(row)
    }

    /** The span that gives marked text room between its lines. */
    protected fun airy(view: TextView) = Airy((1.5f * view.textSize).toInt())

    /** 0.1234 as "12.3", in the user's language. */
    protected fun percent(share: Double): String = number(100 * share, 1)

    protected fun number(value: Double, digits: Int): String = NumberFormat.getInstance().apply {
        minimumFractionDigits = digits
        maximumFractionDigits = digits
    }.format(value)

    protected fun cost(reading: Reading, milliseconds: Double): String {
        val tokens = activity.resources.getQuantityString(R.plurals.tokens, reading.tokens, reading.tokens)
        val cost = activity.getString(R.string.cost, tokens, number(milliseconds, 1))
        return if (reading.truncated) cost + "\n" + activity.getString(R.string.truncated, reading.tokens) else cost
    }

    protected fun <T> timed(work: () -> T): Pair<T, Double> {
        val start = System.nanoTime()
        return work() to (System.nanoTime() - start) / 1e6
    }

    /** Keeps a field short enough to be typed in and to be saved when the screen turns. */
    private inner class Limit(private val most: Int) : InputFilter {
        override fun filter(
            source: CharSequence, start: Int, end: Int, target: Spanned, from: Int, to: Int,
        ): CharSequence? {
            val room = most - (target.length - (to - from))
            if (end - start <= room) return null
            val shown = NumberFormat.getInstance().format(most)
            Toast.makeText(activity, activity.getString(R.string.cut_input, shown), Toast.LENGTH_LONG).show()
            var kept = start + maxOf(0, room)
            if (kept > start && Character.isHighSurrogate(source[kept - 1])) kept--
            return source.subSequence(start, kept)
        }
    }

    companion object {
        /** Characters: all fields together must pass through a Binder of a megabyte when the app is left. */
        const val SHORT = 10_000
        const val LONG = 50_000

        /** Milliseconds for which the answer to the text before may stay. */
        private const val PATIENCE = 250L
    }
}

/** What is shown of a failure: one sentence, whatever it was. */
fun MainActivity.sentence(error: Throwable): String = when (error) {
    is KzooException -> error.message!!
    is OutOfMemoryError -> getString(R.string.no_memory)
    else -> getString(R.string.failed, error.javaClass.simpleName)
}

internal fun View.showIf(condition: Boolean) {
    visibility = if (condition) View.VISIBLE else View.GONE
}

internal val EditText.words: String get() = text.toString()
