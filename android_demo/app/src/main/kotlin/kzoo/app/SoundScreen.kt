package kzoo.app

import android.Manifest
import android.content.pm.PackageManager
import android.net.Uri
import android.view.View
import android.widget.TextView
import java.io.File
import kzoo.core.audio.Sound
import kzoo.core.bundle.Sense
import kzoo.core.task.AudioClassifier
import kzoo.core.task.Classification

/** Labels a sound that is recorded here, for as long as the model listens, or that of a WAV file. */
class SoundScreen(activity: MainActivity) :
    FileScreen(activity, "sound", R.layout.sound, Sense.SOUND, R.string.made_sound, REQUEST, arrayOf("audio/x-wav", "audio/wav", "audio/vnd.wave")) {
    private val record: TextView = find(R.id.record)
    private val meter: BarView = find(R.id.meter)
    private val kept = File(app.cacheDir, "recorded.wav")

    init {
        record.setOnClickListener { if (mayListen()) listen() else activity.requestPermissions(arrayOf(LISTEN), REQUEST) }
        clear()
    }

    private fun mayListen() = activity.checkSelfPermission(LISTEN) == PackageManager.PERMISSION_GRANTED

    override fun permitted(request: Int) {
        if (request != REQUEST) return
        if (mayListen()) listen() else say(activity.getString(R.string.no_microphone), wrong = false)
    }

    private fun listen() {
        if (source == null) return
        clear()
        say(null)
        note.setText(R.string.listening)
        meter.share = 0f
        meter.showIf(true)
        answer({ task, job ->
            val processor = (task as AudioClassifier).processor
            Microphone.record(processor.size, processor.rate, job.isCancelled) { share -> job.post { meter.share = share } }
                .also { kept.writeBytes(wav(it, processor.rate)) }
        }) { use(Uri.fromFile(kept)) }
        stays()
        record.isEnabled = false
    }

    override fun update() {
        record.isEnabled = true
        val chosen = file ?: return rest()
        answer({ task, job ->
            val classifier = task as AudioClassifier
            val sound = Sound.wav(app.documents.bytes(chosen), app.documents.name(chosen) ?: activity.getString(R.string.sound))
            val (found, time) = timed { classifier.classify(sound, job.isCancelled) }
            val samples = sound.count(classifier.processor.rate)
            Found(found, classifier.processor.seconds(samples), classifier.processor.cuts(samples), time)
        }, ::show)
    }

    private class Found(val labels: Classification, val seconds: Double, val cut: Boolean, val milliseconds: Double)

    private fun show(found: Found) {
        clear()
        val seconds = activity.getString(R.string.seconds, number(found.seconds, 1))
        val cost = activity.getString(R.string.cost, seconds, number(found.milliseconds, 1))
        show(found.labels, if (found.cut) cost + "\n" + activity.getString(R.string.sound_cut, seconds) else cost)
    }

    override fun clear() {
        super.clear()
        record.isEnabled = true
        meter.showIf(false)
        note.setText(R.string.waiting_sound)
    }

    private companion object {
        const val REQUEST = 20
        const val LISTEN = Manifest.permission.RECORD_AUDIO
    }
}
