package kzoo.app

import android.content.ClipData
import android.content.Intent
import android.graphics.drawable.BitmapDrawable
import android.net.Uri
import android.provider.MediaStore
import android.view.View
import android.widget.ImageView
import java.io.File
import kzoo.core.bundle.Levels
import kzoo.core.bundle.Sense
import kzoo.core.image.Picture
import kzoo.core.task.Classification
import kzoo.core.task.ImageClassifier

/** Labels a picture that is chosen, or taken with the camera's app; shows it as the model sees it. */
class PictureScreen(activity: MainActivity) :
    FileScreen(activity, "picture", R.layout.picture, Sense.IMAGE, R.string.made_picture, REQUEST, arrayOf("image/*")) {
    private val seen: ImageView = find(R.id.seen)
    private val kept = File(app.cacheDir, "picture.jpg") // That the next one which is taken replaces.

    init {
        find<View>(R.id.take).setOnClickListener { take() }
        clear()
    }

    /** The camera's app writes into a file of this one, so that this one needs no permission. */
    private fun take() {
        TakenPicture.file(activity).delete() // So that an old one isn't taken for a new one.
        val target = TakenPicture.uri(activity)
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE)
            .putExtra(MediaStore.EXTRA_OUTPUT, target)
            .addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
        intent.clipData = ClipData.newRawUri(null, target)
        ask(intent, REQUEST + 1, R.string.no_camera)
    }

    override fun received(request: Int, data: Intent?) {
        super.received(request, data)
        if (request != REQUEST + 1) return
        val taken = TakenPicture.file(activity)
        if (taken.length() > 0 && taken.renameTo(kept)) use(Uri.fromFile(kept)) else say(activity.getString(R.string.none_taken), wrong = false)
    }

    override fun update() {
        val chosen = file ?: return rest()
        answer({ task, job ->
            val classifier = task as ImageClassifier
            val picture = classifier.picture(app.documents.bytes(chosen), app.documents.name(chosen) ?: activity.getString(R.string.picture))
            var levels: Levels? = null
            val (found, time) = timed { classifier.classify(classifier.levels(picture).also { levels = it }, job.isCancelled) }
            Found(found, classifier.seen(levels!!), time)
        }, ::show)
    }

    private class Found(val labels: Classification, val seen: Picture, val milliseconds: Double)

    private fun show(found: Found) {
        val picture = found.seen
        seen.setImageDrawable(BitmapDrawable(activity.resources, DevicePictures.bitmap(picture)).apply { isFilterBitmap = false }) // Its pixels, however few.
        seen.showIf(true)
        val size = activity.getString(R.string.pixels, picture.width, picture.height)
        show(found.labels, activity.getString(R.string.cost, size, number(found.milliseconds, 1)))
    }

    override fun clear() {
        super.clear()
        seen.setImageDrawable(null)
        seen.showIf(false)
        note.setText(R.string.waiting_picture)
    }

    private companion object {
        const val REQUEST = 10
    }
}
