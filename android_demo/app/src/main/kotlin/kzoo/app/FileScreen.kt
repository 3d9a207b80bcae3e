package kzoo.app

import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.View
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense

/**
 * A page that labels a file, which its user chooses, or makes here. The file stays chosen when the screen
 * turns.
 *
 * `request` and the number after it tell the answers to this page's questions from others.
 */
abstract class FileScreen(
    activity: MainActivity,
    key: String,
    layout: Int,
    sense: Sense,
    made: Int,
    protected val request: Int,
    private val types: Array<String>,
) : LabelsScreen(activity, key, layout, sense, Answers.LABELS, made) {
    protected var file: Uri? = null
        private set

    init {
        find<View>(R.id.choose).setOnClickListener { choose() }
    }

    private fun choose() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType(if (types.size == 1) types[0] else "*/*")
            .putExtra(Intent.EXTRA_MIME_TYPES, types)
        ask(intent, request, R.string.no_files)
    }

    override fun received(request: Int, data: Intent?) {
        if (request == this.request) data?.data?.let(::use)
    }

    /** Answers a file from now on. */
    protected fun use(file: Uri) {
        this.file = file
        clear()
        refresh()
    }

    override fun save(state: Bundle) = state.putParcelable(key, file)

    @Suppress("DEPRECATION") // What replaced it is not on API 26.
    override fun restore(state: Bundle) {
        file = state.getParcelable(key)
    }
}
