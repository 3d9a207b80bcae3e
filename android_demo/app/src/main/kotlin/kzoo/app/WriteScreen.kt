package kzoo.app

import android.graphics.Typeface
import android.text.SpannableString
import android.text.Spanned
import android.text.style.StyleSpan
import kzoo.core.bundle.Answers
import kzoo.core.task.Opened
import kzoo.core.task.TextWriter
import kzoo.core.task.Writing

/** Writes on from a text, which is shown before what was written. */
class WriteScreen(activity: MainActivity) : WritingScreen(
    activity, "write", Answers.CONTINUATION, R.string.made_write, R.string.write, R.string.write_hint, R.string.waiting_write,
) {
    override fun before(draft: Draft) =
        SpannableString(draft.prompt).apply { setSpan(StyleSpan(Typeface.BOLD), 0, length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE) }

    override fun write(task: Opened, prompt: String, cancelled: () -> Boolean, each: (Writing, String) -> Unit) =
        (task as TextWriter).write(prompt, usual = Int.MAX_VALUE, cancelled = cancelled, each = each)
}
