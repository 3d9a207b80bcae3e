package kzoo.app

import android.graphics.drawable.GradientDrawable
import android.text.SpannableString
import android.text.Spanned
import android.text.style.BackgroundColorSpan
import android.view.View
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense
import kzoo.core.task.Entities
import kzoo.core.task.TokenClassifier

/** Colours the words of a text that are something. */
class EntitiesScreen(activity: MainActivity) :
    Screen(activity, "entities", R.layout.entities, Sense.TEXT, Answers.ENTITIES, R.string.made_entities) {
    private val text: EditText = find(R.id.sentence)
    private val heading: TextView = find(R.id.heading)
    private val marked: TextView = find(R.id.marked)
    private val legend: FlowLayout = find(R.id.legend)
    private val bars: LinearLayout = find(R.id.bars)
    private val note: TextView = find(R.id.note)
    private val colors: IntArray = activity.resources.getIntArray(R.array.kinds)

    init {
        follow(text)
    }

    override fun update() {
        val asked = text.words
        if (asked.isBlank()) return rest()
        answer({ task, job ->
            val finder = task as TokenClassifier
            finder.kinds to timed { finder.find(asked, job.isCancelled) }
        }) { (kinds, timed) -> show(asked, kinds, timed.first, timed.second) }
    }

    private fun show(text: String, kinds: List<String>, answer: Entities, milliseconds: Double) {
        if (answer.reading.empty) return empty()
        val count = answer.found.size
        val words = answer.found.map { text.substring(it.start, it.end) }
        if (count == 0) tell(heading, activity.getString(R.string.no_entities))
        else tell(heading, activity.resources.getQuantityString(R.plurals.found, count, count), activity.getString(R.string.found_are, words.joinToString()))
        legend.removeAllViews()
        bars.removeAllViews()
        val spans = SpannableString(text)
        spans.setSpan(airy(marked), 0, text.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
        for (entity in answer.found) {
            val span = BackgroundColorSpan(color(kinds, entity.label))
            spans.setSpan(span, entity.start, entity.end, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
        }
        marked.text = spans
        marked.showIf(true)
        for (kind in kinds.filter { kind -> answer.found.any { it.label == kind } }) legend.addView(chip(kind, color(kinds, kind)))
        for ((entity, what) in answer.found.zip(words)) {
            val percent = percent(entity.score)
            val row = fact(bars, what, entity.label + " · " + activity.getString(R.string.percent, percent))
            row.contentDescription = activity.getString(R.string.entity, entity.label, what, percent)
            row.findViewById<TextView>(R.id.label)!!.setTextColor(activity.getColor(R.color.text))
            row.findViewById<TextView>(R.id.value)!!.setTextColor(activity.getColor(R.color.muted))
        }
        note.text = cost(answer.reading, milliseconds)
        val gap = activity.resources.getDimensionPixelSize(R.dimen.gap)
        note.setPadding(0, gap, 0, 0)
        legend.setPadding(0, if (answer.found.isEmpty()) 0 else gap, 0, 0)
    }

    private fun color(kinds: List<String>, kind: String) = colors[maxOf(0, kinds.indexOf(kind)) % colors.size]

    private fun chip(kind: String, color: Int): View {
        val chip = TextView(activity, null, 0, R.style.Note)
        val density = activity.resources.displayMetrics.density
        chip.text = kind
        chip.setTextColor(activity.getColor(R.color.text))
        chip.background = GradientDrawable().apply {
            setColor(color)
            cornerRadius = 8 * density
        }
        chip.setPadding((10 * density).toInt(), (4 * density).toInt(), (10 * density).toInt(), (4 * density).toInt())
        return chip
    }

    override fun clear() {
        heading.showIf(false)
        heading.text = null
        marked.showIf(false)
        marked.text = null
        legend.removeAllViews()
        legend.setPadding(0, 0, 0, 0)
        bars.removeAllViews()
        note.setPadding(0, 0, 0, 0)
        note.setText(R.string.waiting_entities)
    }
}
