package kzoo.app

import android.app.AlertDialog
import android.os.Bundle
import android.widget.TextView
import java.util.Locale
import kzoo.core.bundle.Answers
import kzoo.core.task.Opened
import kzoo.core.task.TextRewriter
import kzoo.core.task.Writing

/** Writes of a text: translates or summarizes it, by the likeliest token each time or by a beam search. */
class RewriteScreen(activity: MainActivity) : WritingScreen(
    activity, "rewrite", Answers.REWRITING, R.string.made_rewrite, R.string.rewrite, R.string.rewrite_hint, R.string.waiting_rewrite,
) {
    private val language: TextView = find(R.id.language)
    private val beams: TextView = find(R.id.beams)

    /** The code of the language to write in, null for the bundle's own. */
    private var chosen: String? = null

    /** How many texts are followed at a time, null for as many as the bundle says. */
    private var count: Int? = null

    init {
        language.setOnClickListener { choose() }
        beams.setOnClickListener {
            count = if (beamsNow == 1) BEAMS else 1
            arrange()
        }
    }

    override fun update() {
        super.update()
        arrange()
    }

    private val beamsNow get() = count ?: source?.sources?.settings?.numBeams ?: 1
    private val codes get() = source?.sources?.languages?.keys.orEmpty().toList()

    private fun arrange() {
        if (chosen !in codes) chosen = null
        language.showIf(codes.isNotEmpty())
        language.text = (chosen ?: source?.sources?.targetLanguage)?.let { activity.getString(R.string.language_is, named(it)) } ?: activity.getString(R.string.language)
        beams.showIf(source != null)
        beams.text = if (beamsNow == 1) activity.getString(R.string.greedy) else activity.getString(R.string.beams, beamsNow)
    }

    /** "de_DE" as "German", in the user's language; a code that no one here knows as itself. */
    private fun named(code: String): String {
        val name = Locale(code.substringBefore('_')).displayLanguage
        return if (name.isEmpty() || name == code.substringBefore('_')) code else name
    }

    private fun choose() {
        val codes = codes
        activity.show(
            AlertDialog.Builder(activity)
                .setTitle(R.string.language)
                .setSingleChoiceItems(codes.map(::named).toTypedArray(), codes.indexOf(chosen ?: source?.sources?.targetLanguage)) { dialog, place ->
                    dialog.dismiss()
                    chosen = codes[place]
                    arrange()
                }
                .setNegativeButton(R.string.cancel, null),
        )
    }

    override fun write(task: Opened, prompt: String, cancelled: () -> Boolean, each: (Writing, String) -> Unit) =
        (task as TextRewriter).write(prompt, chosen, count, cancelled = cancelled, each = each)

    override fun clear() {
        super.clear()
        language.showIf(codes.isNotEmpty())
        beams.showIf(source != null)
    }

    override fun save(state: Bundle) {
        chosen?.let { state.putString(CHOSEN, it) }
        count?.let { state.putInt(COUNT, it) }
    }

    override fun restore(state: Bundle) {
        chosen = state.getString(CHOSEN)
        count = state.getInt(COUNT).takeIf { it > 0 }
    }

    private companion object {
        /** As many as translations are usually searched with. */
        const val BEAMS = 4
        const val CHOSEN = "language"
        const val COUNT = "beams"
    }
}
