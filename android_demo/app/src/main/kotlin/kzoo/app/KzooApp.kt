package kzoo.app

import android.app.Application
import android.content.ComponentCallbacks2

/** What outlives a screen: the worker, the bundles, and the tasks that are loaded. */
open class KzooApp : Application() {
    open val engines: Engines get() = Device
    val worker by lazy { Worker() }
    val documents by lazy { Documents(this) }
    val library by lazy { Library(this, engines, documents) }
    val tasks by lazy { Tasks(engines) }

    /** The activity that is there now: a turned screen has another than the work began in. */
    var activity: MainActivity? = null

    /** Vectors of texts, by bundle: a list is embedded once. */
    val vectors = Vectors()

    /** What was written here last, by bundle. */
    val drafts = HashMap<String?, Draft>()

    /** What was measured here, by source: of each bundle in it. */
    val checks = HashMap<String, List<Checks>>()

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        if (level >= ComponentCallbacks2.TRIM_MEMORY_BACKGROUND) {
            vectors.clear()
            worker.later { tasks.closeAll() }
        }
    }
}
