package kzoo.app

import android.widget.EditText
import android.widget.LinearLayout
import android.widget.TextView
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense
import kzoo.core.bundle.Similarity
import kzoo.core.task.Hit
import kzoo.core.task.Index
import kzoo.core.task.TextEmbedder
import kzoo.core.task.share

/** Finds the texts of a list that mean what was asked for. */
class SearchScreen(activity: MainActivity) :
    Screen(activity, "search", R.layout.search, Sense.TEXT, Answers.EMBEDDING, R.string.made_search) {
    private val query: EditText = find(R.id.query)
    private val list: EditText = find(R.id.list)
    private val heading: TextView = find(R.id.heading)
    private val bars: LinearLayout = find(R.id.bars)
    private val note: TextView = find(R.id.note)

    init {
        follow(query)
        follow(list, LONG)
    }

    override fun update() {
        val asked = query.words
        val texts = list.words.lines().map { it.trim() }.filter { it.isNotEmpty() }.distinct()
        if (asked.isBlank() || texts.isEmpty()) return rest()
        val bundle = source!!.id
        answer({ task, job ->
            val embedder = task as TextEmbedder
            val vectors = texts.mapIndexed { place, text ->
                app.vectors.get(bundle, text) ?: run {
                    progress(job, note) { activity.getString(R.string.embedding, place + 1, texts.size) }
                    embedder.embed(text, null, job.isCancelled).vector.also { app.vectors.put(bundle, text, it) }
                }
            }
            val (found, time) = timed { embedder.embed(asked, null, job.isCancelled) }
            if (found.reading.empty) null
            else Found(Index(texts, vectors, embedder.similarity).nearest(found.vector, MOST), embedder.similarity, cost(found.reading, time))
        }) { found -> if (found == null) empty() else show(found) }
    }

    private class Found(val hits: List<Hit>, val by: Similarity, val cost: String)

    private fun show(found: Found) = with(found) {
        bars.removeAllViews()
        tell(heading, activity.getString(R.string.nearest), activity.getString(R.string.nearest_is, hits[0].text))
        for (hit in hits) {
            val similarity = number(hit.similarity, 2)
            bar(bars, hit.text, share(hit.similarity, by), similarity, activity.getString(R.string.similarity, hit.text, similarity))
        }
        note.text = cost
    }

    override fun clear() {
        heading.contentDescription = null
        bars.removeAllViews()
        note.setText(R.string.waiting_search)
    }

    private companion object {
        const val MOST = 8
    }
}
