package kzoo.app

import android.content.Intent
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.util.LruCache
import android.widget.EditText
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView
import java.text.NumberFormat
import java.util.concurrent.CancellationException
import kzoo.core.KzooException
import kzoo.core.bundle.Answers
import kzoo.core.bundle.Sense
import kzoo.core.bundle.Similarity
import kzoo.core.task.Embedding
import kzoo.core.task.ImageEmbedder
import kzoo.core.task.Index
import kzoo.core.task.Names
import kzoo.core.task.Towers
import kzoo.core.task.share

/**
 * Finds among pictures that a user chooses, some or a folder of them, those that fit words best, where a tower of texts
 * reads them, or those most like one of them.
 */
class PhotosScreen(activity: MainActivity) :
    Screen(activity, "photos", R.layout.photos, Sense.IMAGE, Answers.EMBEDDING, R.string.made_photos) {
    private val words: EditText = find(R.id.words)
    private val labels: EditText = find(R.id.labels)
    private val heading: TextView = find(R.id.heading)
    private val bars: LinearLayout = find(R.id.bars)
    private val note: TextView = find(R.id.note)

    /** What was chosen: pictures, or one folder. */
    private var chosen: List<Uri> = emptyList()
    private var isFolder = false

    /** The same, once they were looked at. */
    private var looked: Looked? = null

    /** Small ones of those that were shown last. */
    private val smalls = LruCache<Uri, Bitmap>(SMALLS)

    /** The picture that the others are to be like. */
    private var like: Uri? = null

    private val readsWords get() = source?.alsoReads?.sense == Sense.TEXT

    init {
        follow(words)
        follow(labels)
        find<TextView>(R.id.choose).setOnClickListener { choose() }
        find<TextView>(R.id.folder).setOnClickListener { ask(Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), REQUEST + 1, R.string.no_files) }
        clear()
    }

    private fun choose() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("image/*")
            .putExtra(Intent.EXTRA_ALLOW_MULTIPLE, true)
        ask(intent, REQUEST, R.string.no_files)
    }

    override fun received(request: Int, data: Intent?) {
        if (request != REQUEST && request != REQUEST + 1) return
        val several = data?.clipData?.run { (0 until itemCount).mapNotNull { getItemAt(it).uri } }
        chosen = (several ?: listOfNotNull(data?.data)).take(MOST + 1)
        isFolder = request == REQUEST + 1
        like = null
        looked = null
        clear()
        refresh()
    }

    override fun update() {
        for (field in listOf(words, labels)) field.showIf(readsWords)
        val asked = if (readsWords) words.words else ""
        val named = labels.words.lines().map { it.trim() }.filter { it.isNotEmpty() }
        if (chosen.isEmpty()) return rest()
        if (asked.isNotBlank()) like = null
        val (bundle, like) = source!!.id to like
        forgetOthers()
        val before = looked
        val (given, isFolder) = chosen to isFolder
        answer({ opened, job ->
            // A text that can't be read is said before the pictures are looked at, of which there may be many.
            val text = if (asked.isBlank()) null else timed { (opened as Towers).read(asked, job.isCancelled) }
            val names = (opened as? Towers)?.let { names(it, named, job) }
            val embedder = opened.tasks.filterIsInstance<ImageEmbedder>().single()
            val looked = before ?: look(embedder, bundle, if (isFolder) app.documents.pictures(given[0], MOST + 1) else given, job)
            Found(looked, ranked(looked, embedder.similarity, text?.first?.vector, like, names), embedder.similarity, text)
        }, ::show)
    }

    /** The pictures that were chosen, by their vectors, as far as they could be read. */
    private class Looked(val bundle: String, val seen: List<Pair<Uri, FloatArray>>, val problems: List<String>, val cut: Boolean)

    /** What is shown, and of words what was read in how many milliseconds. */
    private class Found(val looked: Looked, val photos: List<Photo>, val by: Similarity, val text: Pair<Embedding, Double>?)

    /** `similarity` is null where nothing was asked for, `label` where there are none. */
    private class Photo(val uri: Uri, val name: String, val small: Bitmap, val similarity: Double?, val label: String?)

    private fun look(embedder: ImageEmbedder, bundle: String, given: List<Uri>, job: Worker.Job): Looked {
        if (given.isEmpty()) throw KzooException(activity.getString(R.string.photos_none))
        val (problems, taken) = ArrayList<String>() to given.take(MOST)
        val seen = taken.mapIndexedNotNull { place, uri ->
            if (job.isCancelled()) throw CancellationException()
            progress(job, note) { activity.getString(R.string.looking, place + 1, taken.size) }
            try {
                uri to vector(embedder, bundle, uri, job)
            } catch (error: KzooException) {
                problems.add(error.message!!)
                null
            }
        }
        if (seen.isEmpty()) throw KzooException(problems[0])
        return Looked(bundle, seen, problems, given.size > MOST)
    }

    /** The pictures nearest to a vector, or to that of the one they are to be like; without either the first ones. */
    private fun ranked(looked: Looked, by: Similarity, vector: FloatArray?, like: Uri?, names: Names?): List<Photo> = with(looked) {
        val query = vector ?: seen.firstOrNull { it.first == like }?.second
        val hits = if (query == null) seen.take(SHOWN).map { it to null } else
            Index(seen.map { it.first.toString() }, seen.map { it.second }, by).nearest(query, SHOWN).map { seen[it.place] to it.similarity }
        hits.map { (one, similarity) ->
            val (uri, own) = one
            val label = names?.of(own)?.run { activity.getString(R.string.photo_label, label, percent(score)) }
            Photo(uri, name(uri), small(uri), similarity, label)
        }
    }

    private fun small(uri: Uri): Bitmap =
        smalls.get(uri) ?: DevicePictures.small(app.documents.bytes(uri), name(uri), SIDE).also { smalls.put(uri, it) }

    /** The labels that were typed, or the bundle's own; null where there are none. */
    private fun names(towers: Towers, typed: List<String>, job: Worker.Job): Names? =
        if (typed.isEmpty() && towers.together.labels == null) null else towers.names(typed.ifEmpty { null }, null, job.isCancelled)

    private fun name(uri: Uri) = app.documents.name(uri) ?: activity.getString(R.string.picture)

    private fun vector(embedder: ImageEmbedder, bundle: String, uri: Uri, job: Worker.Job): FloatArray =
        app.vectors.get(bundle, uri.toString())
            ?: embedder.see(app.documents.bytes(uri), name(uri), job.isCancelled).vector.also { app.vectors.put(bundle, uri.toString(), it) }

    private fun show(found: Found) = with(found) {
        this@PhotosScreen.looked = looked
        if (text?.first?.reading?.empty == true) return@with empty()
        bars.removeAllViews()
        val ranked = photos[0].similarity != null
        val count = looked.seen.size.let { activity.resources.getQuantityString(R.plurals.pictures, it, it) }
        if (ranked) tell(heading, activity.getString(R.string.nearest), activity.getString(R.string.nearest_is, photos[0].name)) else tell(heading, count)
        for (photo in photos) show(photo, by)
        val lines = listOfNotNull(
            text?.let { cost(it.first.reading, it.second) } ?: count.takeIf { ranked } ?: activity.getString(if (readsWords) R.string.photos_words else R.string.photos_press),
            activity.getString(R.string.photos_most, NumberFormat.getInstance().format(MOST)).takeIf { looked.cut },
            looked.problems.firstOrNull()?.let {
                activity.resources.getQuantityString(R.plurals.photos_left, looked.problems.size, looked.problems.size, it)
            },
        )
        note.text = lines.joinToString("\n")
    }

    private fun show(photo: Photo, by: Similarity) {
        val row = activity.layoutInflater.inflate(R.layout.photo, bars, false)
        row.findViewById<ImageView>(R.id.seen)!!.setImageBitmap(photo.small)
        row.findViewById<TextView>(R.id.label)!!.text = photo.name
        row.findViewById<TextView>(R.id.named)!!.run {
            text = photo.label
            showIf(photo.label != null)
        }
        val similarity = photo.similarity?.let { number(it, 2) }
        row.findViewById<TextView>(R.id.value)!!.text = similarity
        row.findViewById<BarView>(R.id.bar)!!.run {
            share = photo.similarity?.let { share(it, by) }?.toFloat() ?: 0f
            showIf(similarity != null)
        }
        val said = if (similarity == null) photo.name else activity.getString(R.string.similarity, photo.name, similarity)
        row.contentDescription = listOfNotNull(said, photo.label).joinToString()
        row.setOnClickListener {
            like = photo.uri
            if (words.length() > 0) words.setText("") else refresh()
        }
        bars.addView(row)
    }

    /** What another bundle has seen, which may be gone while this page is not shown. */
    private fun forgetOthers() {
        if (looked?.bundle != source?.id) looked = null
    }

    override fun clear() {
        forgetOthers()
        heading.contentDescription = null
        heading.setText(R.string.nearest)
        bars.removeAllViews()
        note.setText(R.string.waiting_photos)
    }

    override fun save(state: Bundle) {
        state.putParcelableArrayList(key, ArrayList(chosen))
        state.putBoolean(FOLDER, isFolder)
        state.putParcelable(LIKE, like)
    }

    @Suppress("DEPRECATION") // What replaced it is not on API 26.
    override fun restore(state: Bundle) {
        chosen = state.getParcelableArrayList<Uri>(key).orEmpty()
        isFolder = state.getBoolean(FOLDER)
        like = state.getParcelable(LIKE)
    }

    private companion object {
        const val REQUEST = 30
        const val FOLDER = "photos_folder"
        const val LIKE = "photos_like"

        /** Pictures: how many are looked at, shown, and kept small. */
        const val MOST = 1000
        const val SHOWN = 12
        const val SMALLS = 3 * SHOWN

        /** Pixels of the shorter side of a small one, at least. */
        const val SIDE = 144
    }
}
